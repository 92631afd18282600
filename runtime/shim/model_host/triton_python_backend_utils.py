"""The part of Triton's Python backend API that models use, for where no Triton is: the embedded engine.

Runs in the API's own environment: Python 3.8 and numpy.
"""

import json
import sys

import numpy as np

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_MEMORY_CPU = 1
TRITONSERVER_MEMORY_GPU = 2

_NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
    "BYTES": np.object_, "STRING": np.object_,
}  # fmt: skip
_DATATYPES = {np.dtype(kind): name for name, kind in _NUMPY.items() if name not in ("STRING", "BYTES")}


class TritonModelException(Exception):
    """What a model raises on purpose."""


class TritonError:
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message, code=INTERNAL):
        self._message, self._code = str(message), code

    def message(self):
        return self._message

    def code(self):
        return self._code


class Tensor:
    def __init__(self, name, array):
        self._name = name
        if not isinstance(array, np.ndarray):
            raise TritonModelException(f"Tensor {name}: expected a numpy array, found {type(array).__name__}")
        if array.dtype.kind in "SU":
            array = array.astype(np.object_)
        self._array = array

    @staticmethod
    def from_dlpack(name, tensor):
        return Tensor(name, np.from_dlpack(tensor) if hasattr(tensor, "__dlpack__") else np.asarray(tensor))

    def to_dlpack(self):
        return self._array.__dlpack__()

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array

    def shape(self):
        return list(self._array.shape)

    def triton_dtype(self):
        return "BYTES" if self._array.dtype == np.object_ else datatype(self._array)

    def is_cpu(self):
        return True


class InferenceResponse:
    def __init__(self, output_tensors=(), error=None, parameters=None):
        self._tensors, self._error, self._parameters = list(output_tensors or ()), error, parameters

    def output_tensors(self):
        return self._tensors

    def has_error(self):
        return self._error is not None

    def error(self):
        return self._error

    def parameters(self):
        return self._parameters


class ResponseSender:
    """Given to decoupled models."""

    def __init__(self, request, send):
        self._request, self._send = request, send

    def send(self, response=None, flags=0):
        self._send(self._request, response, bool(flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL))

    def is_cancelled(self):
        return self._request.is_cancelled()


class InferenceRequest:
    """As a model sees it. Requests a model makes itself (BLS) need Triton."""

    def __init__(self, head=None, inputs=(), send=None, **asked):
        if head is None:
            raise TritonModelException("requests from inside a model need a Triton server; this is the embedded engine")
        self._head, self._inputs, self._send = head, inputs, send
        self.number = head["number"]
        self.cancelled = False
        self.done = False

    def inputs(self):
        return self._inputs

    def request_id(self):
        return self._head.get("id", "")

    def correlation_id(self):
        return self._head.get("parameters", {}).get("sequence_id", 0)

    def requested_output_names(self):
        return list(self._head.get("outputs") or self._head["all_outputs"])

    def model_name(self):
        return self._head["model"]

    def model_version(self):
        return int(self._head["version"])

    def parameters(self):
        return json.dumps(self._head.get("parameters", {}))

    def timeout(self):
        return int(self._head.get("timeout_us", 0))

    def flags(self):
        told = self._head.get("parameters", {})
        return (1 if told.get("sequence_start") else 0) | (2 if told.get("sequence_end") else 0)

    def trace(self):
        return None

    def is_cancelled(self):
        return self.cancelled

    def get_response_sender(self):
        return ResponseSender(self, self._send)


class Logger:
    @staticmethod
    def log(message, level=None):
        print(message, file=sys.stderr)

    log_info = log_warn = log_error = log_verbose = log


class ModelConfig:
    """What `auto_complete_config` fills in."""

    def __init__(self, config):
        # Models look through these without asking whether they are there: in Triton they are.
        self._config = {"max_batch_size": 0, "input": [], "output": [], **config}

    def as_dict(self):
        return self._config

    def set_max_batch_size(self, size):
        self._config["max_batch_size"] = max(size, self._config.get("max_batch_size", 0))

    def set_dynamic_batching(self):
        self._config.setdefault("dynamic_batching", {})

    def set_model_transaction_policy(self, policy):
        self._config["model_transaction_policy"] = policy

    def add_input(self, told):
        self._add("input", told)

    def add_output(self, told):
        self._add("output", told)

    def _add(self, kind, told):
        listed = self._config.setdefault(kind, [])
        if not any(each["name"] == told["name"] for each in listed):
            listed.append(dict(told))


def get_input_tensor_by_name(request, name):
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(response, name):
    return next((tensor for tensor in response.output_tensors() if tensor.name() == name), None)


def get_input_config_by_name(config, name):
    return next((told for told in config.get("input", ()) if told["name"] == name), None)


def get_output_config_by_name(config, name):
    return next((told for told in config.get("output", ()) if told["name"] == name), None)


def using_decoupled_model_transaction_policy(config):
    return bool(config.get("model_transaction_policy", {}).get("decoupled", False))


def triton_string_to_numpy(name):
    return _NUMPY[name[len("TYPE_") :] if name.startswith("TYPE_") else name]


def triton_to_numpy_type(name):
    return triton_string_to_numpy(name)


def datatype(array):
    name = _DATATYPES.get(array.dtype.newbyteorder("="))
    if name is None:
        raise TritonModelException(f"no tensor datatype for numpy's {array.dtype}")
    return name
