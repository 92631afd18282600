"""Estimates how likely a tumour is malignant from the thirty measurements of the Wisconsin data set.

`?threshold=0.3` moves the line between the two labels.
"""

import pathlib

import numpy
import xgboost


class PythonPredictor:
    def __init__(self, config):
        path = pathlib.Path(__file__).with_name(config["model"])
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing: run train.py, then deploy again")
        self.model = xgboost.Booster(model_file=str(path))

    def predict(self, payload, query_params):
        threshold = float(query_params.get("threshold", 0.5))
        row = xgboost.DMatrix(numpy.asarray([payload["features"]], dtype=numpy.float32))
        probability = self.model.predict(row)[0]
        return {"probability": probability, "label": "malignant" if probability >= threshold else "benign"}
