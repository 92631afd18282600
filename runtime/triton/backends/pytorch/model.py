"""TorchScript models where Triton has no pytorch backend of its own: inputs X__0, X__1 and outputs Y__0."""

import torch
from cortex_batching import BatchedModel


class TritonPythonModel(BatchedModel):
    artifact = "model.pt"

    def load(self, path, config, args):
        device = "cuda:" + args["model_instance_device_id"] if args["model_instance_kind"] == "GPU" else "cpu"
        self.device = torch.device(device)
        self.module = torch.jit.load(path, map_location=self.device).eval()

    def compute(self, inputs, names):
        order = sorted(inputs, key=_index) if all("__" in name for name in inputs) else self.input_names
        with torch.inference_mode():
            answer = self.module(*(torch.from_numpy(inputs[name]).to(self.device) for name in order))
        values = answer if isinstance(answer, (tuple, list)) else [answer]
        if isinstance(answer, dict):
            return {name: answer[name].cpu().numpy() for name in names}
        return {name: values[_place(self.output_names, name)].cpu().numpy() for name in names}


def _index(name):
    return int(name.rpartition("__")[2])


def _place(outputs, name):
    return _index(name) if "__" in name and name.rpartition("__")[2].isdigit() else outputs.index(name)
