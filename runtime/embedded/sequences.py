"""Sequences of requests on the embedded engine: their state lies in one process, which is told where each begins.

As Triton does: each request of a sequence goes to the instance that had the first, with the control tensors that the
configuration asks for, and one that has been silent for too long is forgotten.
"""

import collections
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.embedded.host import Host
from runtime.inference import InferError, InferRequest, Tensor

_IDLE_SECONDS = 1.0  # Triton's, where the configuration says nothing
_KINDS = {"int32_false_true": ("INT32", "i"), "fp32_false_true": ("FP32", "f"), "bool_false_true": ("BOOL", "?")}
_NUMBERS = {"UINT64": "Q", "INT64": "q", "UINT32": "I", "INT32": "i"}


class Sequences:
    """Which host has which sequence, of one model."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        told = config["sequence_batching"]
        self._name = name
        self._idle = int(told.get("max_sequence_idle_microseconds", 0)) / 1e6 or _IDLE_SECONDS
        self._batches = int(config.get("max_batch_size", 0)) > 0
        # The kind that has the number 0 is left out of the configuration's JSON.
        self._controls = [
            (str(tensor["name"]), control.get("kind", "CONTROL_SEQUENCE_START"), control)
            for tensor in told.get("control_input", ())
            for control in tensor.get("control", ())
        ]
        self._known = collections.OrderedDict[object, tuple[Host, float]]()  # by when it was last used

    def host(self, request: InferRequest, able: Sequence[Host], now: float) -> Host:
        """The one of `able` that is to run it. Raises InferError 400."""
        while self._known and next(iter(self._known.values()))[1] < now - self._idle:
            self._known.popitem(last=False)
        said = request.parameters
        key = said.get("sequence_id", 0)
        if not key:
            told = f"inference request to model {self._name!r} must specify a non-zero or non-empty correlation ID"
            raise InferError(400, f"{told} (sequence_id)")
        found, _ = self._known.pop(key, (None, 0.0))
        if said.get("sequence_start"):
            held = collections.Counter(host for host, _ in self._known.values())
            found = min(able, key=lambda host: held[host])
        elif found not in able:  # unknown, forgotten, or its process is another one now
            told = (
                f"inference request for sequence {str(key)[:80]} to model {self._name!r} must specify the START flag on"
            )
            raise InferError(400, f"{told} the first request of the sequence (sequence_start)")
        assert found is not None
        if not said.get("sequence_end"):
            self._known[key] = (found, now)
        return found

    def used(self, request: InferRequest, now: float) -> None:
        """It was answered: the silence begins now."""
        key = request.parameters.get("sequence_id", 0)
        if key in self._known:
            self._known[key] = (self._known.pop(key)[0], now)

    def controlled(self, request: InferRequest) -> list[Tensor]:
        """The inputs with those that tell the model of its sequence. Raises InferError 400."""
        size = int(request.inputs[0].shape[0]) if self._batches and request.inputs else 1
        shape = [size, 1] if self._batches else [1]
        return [*request.inputs, *(self._control(request, shape, size, *each) for each in self._controls)]

    def _control(
        self, request: InferRequest, shape: list[int], size: int, name: str, kind: str, control: Mapping[str, Any]
    ) -> Tensor:
        if kind == "CONTROL_SEQUENCE_CORRID":
            datatype, data = self._correlation(request, str(control.get("data_type", "TYPE_UINT64"))[5:])
        else:
            said = {"CONTROL_SEQUENCE_START": "sequence_start", "CONTROL_SEQUENCE_END": "sequence_end"}.get(kind)
            field = next((field for field in _KINDS if control.get(field)), "int32_false_true")
            datatype, form = _KINDS[field]
            values = control.get(field) or (0, 1)
            data = struct.pack(f"<{form}", values[said is None or bool(request.parameters.get(said))])
        return Tensor(name, datatype, shape, data * size)

    def _correlation(self, request: InferRequest, datatype: str) -> tuple[str, bytes]:
        key = request.parameters["sequence_id"]
        try:
            if datatype == "STRING":
                text = str(key).encode()
                return "BYTES", struct.pack("<I", len(text)) + text
            return datatype, struct.pack(f"<{_NUMBERS[datatype]}", int(key))
        except (KeyError, ValueError, struct.error):
            told = f"model {self._name!r} wants sequence ids of type {datatype}, and {str(key)[:80]!r} is none"
            raise InferError(400, told) from None
