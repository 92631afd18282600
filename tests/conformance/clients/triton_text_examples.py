"""The public examples with text, as triton_examples.py. The model is `simple_string`: `simple` with numbers in text."""

import sys
from typing import Any

import numpy as np
import triton_examples as examples
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
import tritonclient.utils.shared_memory as shm
from triton_examples import A, B, Target, call, case, outputs, stub_request
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, serialized_byte_size

examples.CASES.clear()
TEXT = np.array([[str(number).encode() for number in A[0]]], dtype=object)
ONES = np.array([[b"1"] * 16], dtype=object)


def text_inputs(module: Any, *, binary: bool = True) -> list[Any]:
    found = []
    for name, value in (("INPUT0", TEXT), ("INPUT1", ONES)):
        tensor = module.InferInput(name, list(value.shape), "BYTES")
        if module is httpclient:
            tensor.set_data_from_numpy(value, binary_data=binary)
        else:
            tensor.set_data_from_numpy(value)
        found.append(tensor)
    return found


def check_text(result: Any) -> None:
    for name, wanted in (("OUTPUT0", A + B), ("OUTPUT1", A - B)):
        found = result.as_numpy(name)
        numbers = [int(item) for item in found.reshape(-1)]
        assert numbers == wanted[0].tolist(), numbers


@case
def simple_http_string_infer_client(t: Target) -> None:
    with t.http() as client:
        check_text(client.infer(t.model, text_inputs(httpclient), outputs=outputs(httpclient, binary_data=True)))
        check_text(
            client.infer(t.model, text_inputs(httpclient, binary=False), outputs=outputs(httpclient, binary_data=False))
        )


@case
def simple_grpc_string_infer_client(t: Target) -> None:
    with t.grpc() as client:
        check_text(client.infer(t.model, text_inputs(grpcclient)))


@case
def simple_http_shm_string_client(t: Target) -> None:
    with t.http() as client:
        shared_text(t, client, httpclient)


@case
def simple_grpc_shm_string_client(t: Target) -> None:
    with t.grpc() as client:
        shared_text(t, client, grpcclient)


def shared_text(t: Target, client: Any, module: Any) -> None:
    packed = [serialize_byte_tensor(value) for value in (TEXT, ONES)]
    sizes = [serialized_byte_size(value) for value in packed]
    client.unregister_system_shared_memory()
    given = shm.create_shared_memory_region("input_data", "/input_simple", sum(sizes))
    try:
        shm.set_shared_memory_region(given, packed)
        client.register_system_shared_memory("input_data", "/input_simple", sum(sizes))
        tensors = text_inputs(module)
        tensors[0].set_shared_memory("input_data", sizes[0])
        tensors[1].set_shared_memory("input_data", sizes[1], offset=sizes[0])
        check_text(client.infer(t.model, tensors))
        client.unregister_system_shared_memory()
    finally:
        shm.destroy_shared_memory_region(given)


@case
def grpc_explicit_byte_content_client(t: Target) -> None:
    request = stub_request(t, "BYTES")
    request.inputs[0].contents.bytes_contents[:] = TEXT[0].tolist()
    request.inputs[1].contents.bytes_contents[:] = ONES[0].tolist()
    response = call(t, request)
    found = deserialize_bytes_tensor(response.raw_output_contents[0])
    assert [int(item) for item in found] == (A + B)[0].tolist()


if __name__ == "__main__":
    sys.exit(examples.main())
