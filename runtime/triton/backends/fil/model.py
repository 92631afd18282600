"""Trees of XGBoost and LightGBM where Triton has no FIL backend: the same files, names and parameters as FIL's."""

import os

from cortex_batching import BatchedModel

_FILES = {
    "model.json": "xgboost_json",
    "model.ubj": "xgboost_ubj",
    "model.txt": "lightgbm",
    "xgboost.json": "xgboost_json",
}


class TritonPythonModel(BatchedModel):
    artifact = "model.json"

    def find(self, folder):
        return next((name for name in _FILES if os.path.exists(os.path.join(folder, name))), self.artifact)

    def load(self, path, config, args):
        kind = self.parameter("model_type") or _FILES.get(os.path.basename(path), "xgboost_json")
        if kind.startswith("lightgbm"):
            import lightgbm

            booster = lightgbm.Booster(model_file=path)
            self.scores = booster.predict
        else:
            import xgboost

            booster = xgboost.Booster(model_file=path)
            self.scores = booster.inplace_predict
        self.classes = self.parameter("output_class") == "true"
        self.probabilities = self.parameter("predict_proba") == "true"
        self.threshold = float(self.parameter("threshold", "0.5"))

    def compute(self, inputs, names):
        scores = self.scores(inputs[self.input_names[0]])
        if self.classes and not self.probabilities:
            scores = scores.argmax(axis=1) if scores.ndim > 1 else (scores > self.threshold)
        elif self.probabilities and scores.ndim == 1:
            import numpy as np

            scores = np.stack([1 - scores, scores], axis=1)
        return {name: scores.reshape(len(scores), -1) for name in names}
