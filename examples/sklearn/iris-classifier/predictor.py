"""Tells the species of an iris flower from four lengths in centimetres."""

import pathlib

import joblib

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SPECIES = ("setosa", "versicolor", "virginica")


class PythonPredictor:
    def __init__(self, config):
        path = pathlib.Path(__file__).with_name(config["model"])
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing: run train.py, then deploy again")
        self.model = joblib.load(path)

    def predict(self, payload):
        features = [[payload[name] for name in FEATURES]]
        return SPECIES[int(self.model.predict(features)[0])]
