import pathlib

import joblib
import numpy

LABELS = ["setosa", "versicolor", "virginica"]


class PythonPredictor:
    def __init__(self, config):
        self.model = joblib.load(pathlib.Path(__file__).with_name("iris.joblib"))

    def predict(self, payload):
        row = numpy.asarray([payload["x"]], dtype=numpy.float64)
        return {"label": LABELS[int(self.model.predict(row)[0])]}
