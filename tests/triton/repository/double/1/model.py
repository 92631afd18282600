"""Doubles. The first number can ask for trouble: -1 raises, -2 is an error of the model's own, -3 takes 300 ms."""

import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        told = x.flat[0] if x.size else 0
        if told == -1:
            raise ValueError("secret detail")
        if told == -2:
            return pb_utils.InferenceResponse([], pb_utils.TritonError("that is no number I like"))
        if told == -3:
            time.sleep(0.3)
        if told == -4:
            end = time.monotonic() + 20
            while time.monotonic() < end and not request.is_cancelled():
                time.sleep(0.01)
            print("cancelled" if request.is_cancelled() else "ran to its end", flush=True)
        pid = np.full((len(x), 1), os.getpid(), dtype=np.int64)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x * 2), pb_utils.Tensor("pid", pid)])
