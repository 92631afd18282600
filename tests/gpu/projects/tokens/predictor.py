"""Endless tokens, each a step of matrix products on the device; GET tells how many steps were made."""

import torch

WIDTH = 4096


class PythonPredictor:
    def __init__(self, config):
        torch.manual_seed(0)
        self.weight = torch.randn(WIDTH, WIDTH, dtype=torch.bfloat16).to(config["device"])
        self.steps = self.closed = 0

    def predict(self, payload):
        state = self.weight[:1]
        try:
            while True:
                state = torch.nn.functional.normalize(state @ self.weight)
                self.steps += 1
                yield {"token": int(state.argmax())}
        finally:
            self.closed += 1

    def handle_get(self):
        return {"steps": self.steps, "closed": self.closed}
