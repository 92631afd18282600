"""Tells the species of iris flowers, as many at a time as callers ask for at a time."""

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

    def pre(self, payload):
        """Runs for each call before it has a permit. What it raises is the answer to that call alone."""
        missing = [name for name in FEATURES if name not in payload]
        if missing:
            raise Unusable(f"these features are missing: {', '.join(missing)}")
        return [float(payload[name]) for name in FEATURES]

    def predict(self, payload):
        """`payload` is a list with what `pre` made of each call; the answer is a list in the same order."""
        return [SPECIES[int(index)] for index in self.model.predict(payload)]


class Unusable(Exception):
    """Becomes a reply with this status."""

    status_code = 422

    def __init__(self, detail):
        super().__init__(detail)
        self.detail = detail
