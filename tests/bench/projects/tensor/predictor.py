"""602 kB of float32 in, the means of the three channels out."""

import numpy as np


class PythonPredictor:
    def predict(self, payload):
        return {"mean": np.frombuffer(payload, dtype="<f4").reshape(3, -1).mean(axis=1).tolist()}
