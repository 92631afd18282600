"""The protocol's kinds of elements: size, and the format character of `struct` and `memoryview`."""

# Bytes per element; BYTES elements carry their own length.
SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2, "BYTES": 0,
}  # fmt: skip
FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
FLOATS = frozenset(["FP16", "FP32", "FP64"])
# In front of each element of a BYTES tensor.
LENGTH_BYTES = 4


def config_name(datatype: str) -> str:
    """As a model configuration spells it: TYPE_STRING is BYTES."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
