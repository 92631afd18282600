"""Words of tensor inference, and the port to who computes it: the predictor's workers, Triton, an in-process engine.

Tensor data is what the Open Inference Protocol's binary extension carries: little-endian, row-major, one byte for BOOL,
and for BYTES each element behind its length in four bytes.
"""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from runtime.errors import InferError as InferError

if TYPE_CHECKING:
    from runtime import slabs

Parameters = Mapping[str, "bool | int | float | str"]


@dataclasses.dataclass(slots=True)
class Tensor:
    """One tensor. `data` holds exactly the bytes that `datatype` and `shape` ask for."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: "bytes | bytearray | memoryview"
    parameters: Parameters = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class InferRequest:
    """`outputs` are the names asked for, empty for all. `deadline` is monotonic, 0 for none."""

    model: str
    version: str
    id: str
    inputs: list[Tensor]
    outputs: Sequence[str] = ()
    parameters: Parameters = dataclasses.field(default_factory=dict)
    deadline: float = 0.0
    request_id: str = ""
    traceparent: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    attempt: int = 0  # of the gateway, see Call.attempt
    began: float = 0.0  # monotonic time of the first byte
    counted: bool = False  # set by an engine whose dispatcher counts the request in the metrics
    # The whole request as the caller sent it with all inputs binary: length of the JSON, and JSON and tensors together.
    packed: "tuple[int, bytes | slabs.Loan] | None" = None


@dataclasses.dataclass(slots=True)
class InferResponse:
    """`final` is false for all but the last response of a stream."""

    model: str
    version: str
    id: str
    outputs: list[Tensor]
    parameters: Parameters = dataclasses.field(default_factory=dict)
    final: bool = True
    # The whole response in the binary form of the protocol, where the engine has it so already.
    packed: "tuple[int, bytes] | None" = None


@dataclasses.dataclass(frozen=True, slots=True)
class TensorMetadata:
    """-1 where a size varies; the batch dimension is part of the shape."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What is told of a model. `platform` such as `cortex_python`, `onnxruntime_onnx`."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class RepositoryEntry:
    """`state`: READY, UNAVAILABLE, LOADING or UNLOADING; `reason` says why it is not READY."""

    name: str
    version: str
    state: str
    reason: str = ""


class Engine(Protocol):
    """Computes. Every method raises InferError: 404 unknown model or version, 400 bad request, 503 not ready, ...

    Cancelling the task that waits cancels the work, as far as the engine can. Sizes of tensors were checked, all but
    the elements inside a BYTES tensor: those the registry checks for an engine that does not (`reads_bytes`).
    """

    async def infer(self, request: InferRequest) -> InferResponse: ...

    def stream(self, request: InferRequest) -> AsyncIterator[InferResponse]:
        """Zero or more responses; the last one has `final` set, and may have no outputs."""
        ...

    async def metadata(self, model: str, version: str) -> ModelMetadata: ...

    async def config(self, model: str, version: str) -> Mapping[str, Any]:
        """The model's configuration in Triton's JSON form."""
        ...

    async def statistics(self, model: str, version: str) -> Sequence[Mapping[str, Any]]:
        """One entry per version, in Triton's JSON form; `model` empty for all."""
        ...

    async def is_ready(self, model: str, version: str) -> bool:
        """Raises InferError 404 for a model nobody declared; False for one that is loading or has failed."""
        ...

    async def index(self) -> Sequence[RepositoryEntry]: ...

    async def load(self, model: str, parameters: Mapping[str, Any]) -> None: ...

    async def unload(self, model: str, *, dependents: bool) -> None: ...
