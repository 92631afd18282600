"""The network on the device, for one call or a batch. `early` says where it gets there: here, or in after_fork."""

import os

import torch
from network import load


class PythonPredictor:
    def __init__(self, config):
        self.device = config["device"]
        self.network = load(config["weights"])
        if config.get("asks"):
            torch.cuda.is_available()
        if config.get("early", True):
            self.after_fork()

    def after_fork(self):
        self.network.to(self.device)

    def predict(self, payload):
        calls = payload if isinstance(payload, list) else [payload]
        with torch.inference_mode():
            answers = self.network(torch.tensor([call["tokens"] for call in calls], device=self.device))
        told = [{"answer": answer, "pid": os.getpid()} for answer in answers.float().tolist()]
        return told if calls is payload else told[0]
