"""Trains a softmax regression on the iris data and exports it as a SavedModel with a signature of its own."""

import pathlib

import tensorflow as tf
from sklearn.datasets import load_iris

data = load_iris()
x, y = tf.constant(data.data, tf.float32), tf.constant(data.target)


class Classifier(tf.Module):
    def __init__(self):
        self.weights = tf.Variable(tf.zeros([4, 3]))
        self.bias = tf.Variable(tf.zeros([3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="measurements")])
    def classify(self, measurements):
        probabilities = tf.nn.softmax(measurements @ self.weights + self.bias)
        return {"class_id": tf.argmax(probabilities, axis=1), "probabilities": probabilities}


model = Classifier()
for _ in range(2000):
    with tf.GradientTape() as tape:
        logits = x @ model.weights + model.bias
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        variable.assign_sub(0.1 * gradient)
accuracy = float(tf.reduce_mean(tf.cast(tf.argmax(logits, axis=1) == tf.cast(y, tf.int64), tf.float32)))
target = pathlib.Path(__file__).with_name("exported")
tf.saved_model.save(model, str(target), signatures={"serving_default": model.classify})
print(f"accuracy {accuracy:.3f}; wrote {target.name}/")
