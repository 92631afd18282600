"""Makes `request.is_cancelled()` know of callers who left: requests come by HTTP, where Triton cannot be told.

Runs in Triton's stub, at the end of Triton's own module triton_python_backend_utils. The name of a request travels as a
parameter, which members of an ensemble get, too; the model does not see it.
"""

import json
import os

NAME = "cortex_call"


def teach():
    try:
        from c_python_backend_utils import InferenceRequest
    except ImportError:  # not in a stub
        return
    folder = os.environ.get("CORTEX_LEFT", "")
    own, all_parameters = InferenceRequest.is_cancelled, InferenceRequest.parameters

    def is_cancelled(self):
        name = json.loads(all_parameters(self) or "{}").get(NAME)
        return (name is not None and os.path.exists(os.path.join(folder, name))) or own(self)

    def parameters(self):
        told = all_parameters(self)
        if NAME not in told:
            return told
        return json.dumps({name: value for name, value in json.loads(told).items() if name != NAME})

    InferenceRequest.is_cancelled, InferenceRequest.parameters = is_cancelled, parameters
