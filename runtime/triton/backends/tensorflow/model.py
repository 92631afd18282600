"""TensorFlow SavedModels where Triton has no tensorflow backend of its own. Parameter `signature_key` picks one."""

import tensorflow as tf
from cortex_batching import BatchedModel


class TritonPythonModel(BatchedModel):
    artifact = "model.savedmodel"

    def load(self, path, config, args):
        self.model = tf.saved_model.load(path)  # the signature does not keep its variables alive
        found = self.model.signatures
        keys = [self.parameter("signature_key"), "predict", "serving_default", *found]
        self.signature = found[next(key for key in keys if key in found)]
        self.types = {name: spec.dtype for name, spec in self.signature.structured_input_signature[1].items()}

    def compute(self, inputs, names):
        given = {name: tf.constant(value, dtype=self.types[name]) for name, value in inputs.items()}
        answer = self.signature(**given)
        return {name: answer[name].numpy() for name in names}
