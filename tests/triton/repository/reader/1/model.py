"""Reads JSON, which an empty string is not."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        told = json.loads(pb_utils.get_input_tensor_by_name(request, "text").as_numpy()[0])
        return pb_utils.InferenceResponse([pb_utils.Tensor("number", np.array(told, dtype=np.int64))])
