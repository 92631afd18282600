"""Models compiled by torch-neuronx, on the cores of Inferentia that this instance owns.

Parameter `CORTEX_NEURON_CORES` lists a range per instance, such as `0-1,2-3`: it must be set before the Neuron runtime
starts, and a restarted instance takes its own range again, because a core belongs to one process until that ends.
"""

import os

from cortex_batching import BatchedModel


class TritonPythonModel(BatchedModel):
    artifact = "model_neuron.pt"

    def load(self, path, config, args):
        ranges = self.parameter("CORTEX_NEURON_CORES").split(",")
        instance = int(args["model_instance_name"].rpartition("_")[2])
        if ranges[0]:
            os.environ["NEURON_RT_VISIBLE_CORES"] = ranges[instance % len(ranges)]
        import torch
        import torch_neuronx  # noqa: F401  # registers the operators that the file needs

        self.torch = torch
        self.module = torch.jit.load(path)

    def compute(self, inputs, names):
        answer = self.module(*(self.torch.from_numpy(inputs[name]) for name in self.input_names))
        values = answer if isinstance(answer, (tuple, list)) else [answer]
        return {name: values[self.output_names.index(name)].numpy() for name in names}
