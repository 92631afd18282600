"""Looks at a request with the model's configuration in hand, so that Triton gets nothing it would answer badly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.inference import InferError, InferRequest, Tensor, TensorMetadata
from runtime.triton import model_config
from runtime.triton.catalog import Entry

SIZES = {
    "BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2, "UINT32": 4, "INT32": 4, "FP32": 4,
    "UINT64": 8, "INT64": 8, "FP64": 8,
}  # fmt: skip
_NUMBER_OF_DIMS = 32
_TINY_BITS = {"FP16": 10, "BF16": 7, "FP32": 23, "FP64": 52}  # those below the exponent


def check(entry: Entry, request: InferRequest) -> None:
    """Raises InferError 400."""
    described = entry.describe()
    wanted = {told.name: told for told in described.inputs}
    seen: set[str] = set()
    batches: set[int] = set()
    batched = int(entry.config.get("max_batch_size", 0))
    for tensor in request.inputs:
        if tensor.name in seen:
            raise _bad(entry, f"input {tensor.name!r} is given twice")
        seen.add(tensor.name)
        if tensor.name not in wanted:
            raise _bad(entry, f"unexpected input {tensor.name!r}; it takes {_names(wanted)}")
        _check_tensor(entry, tensor, wanted[tensor.name])
        if batched:
            batches.add(tensor.shape[0])
    missing = set(wanted) - seen - model_config.optional_inputs(entry.config)
    if missing:
        raise _bad(entry, f"input {_names(missing)} is missing")
    if batched and len(batches) > 1:
        raise _bad(entry, f"the inputs have different batch sizes: {sorted(batches)}")
    if batched and batches and not 1 <= next(iter(batches)) <= batched:
        raise _bad(entry, f"the batch size must be between 1 and {batched}, not {next(iter(batches))}")
    unknown = set(request.outputs) - {told.name for told in described.outputs}
    if unknown:
        raise _bad(entry, f"no output {_names(unknown)}; it gives {_names(told.name for told in described.outputs)}")


def _check_tensor(entry: Entry, tensor: Tensor, wanted: TensorMetadata) -> None:
    if tensor.datatype != wanted.datatype:
        raise _bad(entry, f"input {tensor.name!r} must be {wanted.datatype}, not {tensor.datatype}")
    shape = list(tensor.shape)
    fits = len(shape) == len(wanted.shape) and all(
        want in (-1, size) for want, size in zip(wanted.shape, shape, strict=True)
    )
    if not fits or len(shape) > _NUMBER_OF_DIMS or any(size < 0 for size in shape):
        raise _bad(entry, f"input {tensor.name!r} must have shape {list(wanted.shape)}, not {shape}")
    size = SIZES.get(tensor.datatype)
    if size is not None and len(tensor.data) != size * math.prod(shape):
        needed = size * math.prod(shape)
        text = f"input {tensor.name!r} has {len(tensor.data)} bytes; {tensor.datatype} {shape} takes {needed}"
        raise _bad(entry, text)


def _bad(entry: Entry, text: str) -> InferError:
    return InferError(400, f"model {entry.name!r}: {text}")


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names))


def canary(entry: Entry, number: int = 0) -> list[Tensor]:
    """Inputs of a valid request that means nothing: zeros, empty strings, 1 where a size varies.

    A response cache would answer for a model that does not. There the `number` makes each canary another one, by the
    lowest bits of a fraction, which stays next to zero.
    """
    skipped = model_config.optional_inputs(entry.config)
    tensors = [_zeros(told) for told in entry.describe().inputs if told.name not in skipped]
    if entry.config.get("response_cache", {}).get("enable"):
        for tensor in tensors:
            if bits := _TINY_BITS.get(tensor.datatype):
                size = SIZES[tensor.datatype]
                tensor.data = (number % (1 << bits)).to_bytes(size, "little") + bytes(tensor.data[size:])
                break
    return tensors


def _zeros(told: TensorMetadata) -> Tensor:
    shape: Sequence[int] = [1 if size < 0 else size for size in told.shape]
    size = SIZES.get(told.datatype, 4)  # BYTES: an empty string is its length, 0, in four bytes
    return Tensor(told.name, told.datatype, shape, bytes(size * math.prod(shape)))


def wants_canary(config: Mapping[str, Any]) -> bool:
    """A sequence has state a canary would disturb, and a decoupled model may take any time to answer."""
    told = config.get("parameters", {}).get("CORTEX_CANARY", {}).get("string_value", "")
    return told != "off" and not model_config.is_sequence(config) and not model_config.is_decoupled(config)
