"""Counts, one response per number, 20 ms apart, until it is told that nobody listens."""

import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            to = int(pb_utils.get_input_tensor_by_name(request, "to").as_numpy()[0])
            threading.Thread(target=self.count, args=(to, request.get_response_sender()), daemon=True).start()

    def count(self, to, sender):
        for number in range(to):
            if sender.is_cancelled():
                print(f"stopped at {number}", flush=True)
                break
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("n", np.array([number], dtype=np.int32))]))
            time.sleep(0.02)
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
