"""scikit-learn estimators, saved by joblib or pickle. Output `predict_proba` (or any name with `proba`) gives the
probabilities, every other output the prediction."""

import os

import joblib
from cortex_batching import BatchedModel


class TritonPythonModel(BatchedModel):
    artifact = "model.joblib"

    def find(self, folder):
        return next((name for name in ("model.joblib", "model.pkl") if os.path.exists(os.path.join(folder, name))))

    def load(self, path, config, args):
        self.estimator = joblib.load(path)

    def compute(self, inputs, names):
        rows = inputs[self.input_names[0]]
        return {name: self._method(name)(rows) for name in names}

    def _method(self, name):
        return self.estimator.predict_proba if "proba" in name else self.estimator.predict
