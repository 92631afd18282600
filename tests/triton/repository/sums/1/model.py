"""A running sum per sequence, kept in the instance; at the end the sequence's id is added."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        names = ("x", "START", "END", "READY", "CORRID")
        told = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        if not told["READY"].flat[0]:  # Triton fills the slots of sequences that ask for nothing now
            return pb_utils.InferenceResponse([pb_utils.Tensor("sum", np.zeros_like(told["x"]))])
        key = int(told["CORRID"].flat[0])
        before = 0 if told["START"].flat[0] else self.sums[key]
        self.sums[key] = before + told["x"] + (np.int32(key) if told["END"].flat[0] else 0)
        return pb_utils.InferenceResponse([pb_utils.Tensor("sum", self.sums[key].astype(np.int32))])
