"""Tensors as the front sends and takes them: little-endian, row-major, strings behind their length."""

import struct

import numpy as np
import triton_python_backend_utils as pb_utils


def read(told, body, config):
    """Input tensors of a request, `body` their bytes one after another."""
    tensors, at = [], 0
    for tensor in told:
        data = body[at : at + tensor["size"]]
        at += tensor["size"]
        if tensor["datatype"] == "BYTES":
            array = _strings(data)
        else:
            array = np.frombuffer(data, dtype=pb_utils.triton_string_to_numpy(tensor["datatype"]))
        tensors.append(pb_utils.Tensor(tensor["name"], array.reshape(_inner(tensor, config))))
    return tensors


def write(tensors, config):
    """Descriptions and bytes of outputs, in the types and shapes that the configuration tells."""
    told, parts = [], []
    for tensor in tensors:
        array = tensor.as_numpy()
        wanted = pb_utils.get_output_config_by_name(config, tensor.name())
        if wanted is None:
            raise pb_utils.TritonModelException(f"the model's config has no output {tensor.name()}")
        kind = wanted["data_type"][len("TYPE_") :].replace("STRING", "BYTES")
        if tensor.triton_dtype() != kind:
            text = f"output {tensor.name()} must be {kind}, the model gave {tensor.triton_dtype()}"
            raise pb_utils.TritonModelException(text)
        data = _packed(array) if kind == "BYTES" else np.ascontiguousarray(array).tobytes()
        shape = _outer(wanted, array.shape, config)
        told.append({"name": tensor.name(), "datatype": kind, "shape": shape, "size": len(data)})
        parts.append(data)
    return told, b"".join(parts)


def _inner(tensor, config):
    """The shape the model sees: `reshape` of the configuration applied."""
    wanted = pb_utils.get_input_config_by_name(config, tensor["name"])
    if wanted is None or "reshape" not in wanted:
        return tensor["shape"]
    batch = tensor["shape"][:1] if int(config.get("max_batch_size", 0)) > 0 else []
    return list(batch) + [int(size) for size in wanted["reshape"].get("shape", [])]


def _outer(wanted, shape, config):
    if "reshape" not in wanted:
        return [int(size) for size in shape]
    batch = [int(shape[0])] if int(config.get("max_batch_size", 0)) > 0 else []
    return batch + [int(size) for size in wanted["dims"]]


def _strings(data):
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    array = np.empty(len(found), dtype=np.object_)
    array[:] = found
    return array


def _packed(array):
    parts = []
    for item in array.ravel():
        data = item if isinstance(item, bytes) else str(item).encode()
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)
