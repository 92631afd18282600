"""Large weights in a safetensors file, mapped (`how: map`) or read into memory (`how: read`)."""

import json
import os

import numpy


def tensors(path, how):
    """The tensors of the file by name; views of one mapping, or of one buffer."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    data = (
        numpy.memmap(path, mode="r", offset=8 + size) if how == "map" else numpy.fromfile(path, "u1", offset=8 + size)
    )
    header.pop("__metadata__", None)
    return {
        name: data[slice(*told["data_offsets"])].view("<f4").reshape(told["shape"]) for name, told in header.items()
    }


class PythonPredictor:
    def __init__(self, config):
        self.weights = tensors(config["path"], config["how"])

    def predict(self):
        """Touches every page."""
        return {"pid": os.getpid(), "sum": float(sum(weight.sum() for weight in self.weights.values()))}
