"""What the wrappers of all frameworks share: one call of the framework for the requests of a batch.

Runs in the API's own environment, in Triton's stub or in the embedded engine: Python 3.8 and numpy.
"""

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils

_TYPES = {"TYPE_STRING": np.object_}


class BatchedModel:
    """A wrapper names its `artifact` and implements `load(path, config, args)` and `compute(inputs, names)`."""

    artifact = ""

    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        name = self.config.get("default_model_filename") or self.find(
            os.path.join(args["model_repository"], args["model_version"])
        )
        self.output_names = [told["name"] for told in self.config["output"]]
        self.input_names = [told["name"] for told in self.config["input"]]
        self._types = {told["name"]: told["data_type"] for told in self.config["output"]}
        self._batches = int(self.config.get("max_batch_size", 0)) > 0
        self.load(os.path.join(args["model_repository"], args["model_version"], name), self.config, args)

    def find(self, folder):
        """The file name to load, where the config names none."""
        return self.artifact

    def parameter(self, name, default=""):
        return self.config.get("parameters", {}).get(name, {}).get("string_value", default)

    def execute(self, requests):
        responses = [self._left(request) for request in requests]
        for found in self._groups(requests):
            indices = [index for index in found if responses[index] is None]
            if not indices:
                continue
            for index, response in zip(indices, self._run([requests[index] for index in indices])):
                responses[index] = response
        return responses

    @staticmethod
    def _left(request):
        """The response to a request whose caller left while it was queued."""
        if not request.is_cancelled():
            return None
        return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError("its caller has left"))

    def _groups(self, requests):
        """Requests that fit into one call: the same inputs, element types and shapes beyond the batch."""
        if not self._batches:
            return [[index] for index in range(len(requests))]
        groups = {}
        for index, request in enumerate(requests):
            arrays = [(tensor.name(), tensor.as_numpy()) for tensor in request.inputs()]
            key = tuple((name, str(array.dtype), array.shape[1:]) for name, array in arrays)
            groups.setdefault(key, []).append(index)
        return list(groups.values())

    def _run(self, requests):
        try:
            return self._together(requests)
        except Exception as error:
            if len(requests) > 1:  # one bad request must not fail its neighbours
                return [self._run([request])[0] for request in requests]
            text = "{}: {}".format(type(error).__name__, error)
            return [pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(text))]

    def _together(self, requests):
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        wanted = [list(request.requested_output_names()) or self.output_names for request in requests]
        names = sorted({name for listed in wanted for name in listed}, key=self.output_names.index)
        if len(requests) == 1:
            merged = inputs[0]
        else:
            merged = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
        outputs = self.compute({name: self._texts(value) for name, value in merged.items()}, names)
        outputs = {name: self._typed(name, outputs[name]) for name in names}
        if len(requests) == 1:
            return [self._response(outputs, wanted[0])]
        sizes = [len(next(iter(each.values()))) for each in inputs]
        ends = np.cumsum(sizes)
        # Copies: a view of the batch would keep all of it and is not laid out as the stub expects.
        return [
            self._response({name: outputs[name][end - size : end].copy() for name in listed}, listed)
            for listed, size, end in zip(wanted, sizes, ends)
        ]

    @staticmethod
    def _response(outputs, names):
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(name, outputs[name]) for name in names])

    @staticmethod
    def _texts(array):
        """Triton hands strings over as bytes; frameworks want text."""
        if array.dtype != np.object_:
            return array
        flat = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in array.ravel()]
        return np.array(flat, dtype=np.object_).reshape(array.shape)

    def _typed(self, name, value):
        array = np.asarray(value)
        told = self._types[name]
        if told == "TYPE_STRING":
            flat = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
            return np.array(flat, dtype=np.object_).reshape(array.shape)
        return np.ascontiguousarray(array, dtype=pb_utils.triton_string_to_numpy(told))
