"""Tells the species of an iris; the SavedModel is kept and run by the replica."""

LABELS = ["setosa", "versicolor", "virginica"]
FIELDS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


class TensorFlowPredictor:
    def __init__(self, tensorflow_client, config):
        self.client = tensorflow_client

    def predict(self, payload):
        answer = self.client.predict({"measurements": [[payload[name] for name in FIELDS]]})
        return LABELS[int(answer["class_id"][0])]
