"""Tells the species of an iris flower from four lengths in centimetres: sklearn/iris-classifier in PyTorch."""

import pathlib

import torch
from network import FEATURES, SPECIES, Network


class PythonPredictor:
    def __init__(self, config):
        path = pathlib.Path(__file__).with_name(config["model"])
        if not path.exists():
            raise FileNotFoundError(f"{path.name} is missing: run train.py, then deploy again")
        torch.set_num_threads(1)  # parallelism comes from processes_per_replica
        self.network = Network()
        self.network.load_state_dict(torch.load(path, weights_only=True))
        self.network.eval()

    def predict(self, payload):
        with torch.inference_mode():
            features = torch.tensor([[payload[name] for name in FEATURES]])
            probabilities = self.network(features).softmax(1)[0]
        best = int(probabilities.argmax())
        # A tensor encodes as JSON, so the probabilities need no conversion.
        return {"species": SPECIES[best], "probabilities": probabilities}
