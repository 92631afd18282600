"""What the public tritonclient examples do, one case per example by its intent, against any server.

    python triton_examples.py --http 127.0.0.1:8000 --grpc 127.0.0.1:8001 [--model NAME] [--admin-token-file PATH]

The server has a model as `simple` of the examples: two INT32 tensors of 16 to their sum and difference. Needs
tritonclient and numpy; it is run in an environment of their own (`make conformance`).
"""

import argparse
import asyncio
import json
import pathlib
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)
CASES: dict[str, Callable[["Target"], None]] = {}


class Target:
    """Where the server is, and how to make its clients."""

    def __init__(self, http: str, grpc: str, model: str, headers: dict[str, str], admin: dict[str, str]) -> None:
        self.http_url, self.grpc_url, self.model, self.headers, self.admin = http, grpc, model, headers, admin

    def http(self, **more: Any) -> Any:
        return httpclient.InferenceServerClient(self.http_url, **more)

    def grpc(self) -> Any:
        return grpcclient.InferenceServerClient(self.grpc_url)


def case(function: Callable[[Target], None]) -> Callable[[Target], None]:
    CASES[function.__name__] = function
    return function


def inputs(module: Any, *, binary: bool = True) -> list[Any]:
    found = []
    for name, value in (("INPUT0", A), ("INPUT1", B)):
        tensor = module.InferInput(name, list(value.shape), "INT32")
        if module in (httpclient, httpaio):
            tensor.set_data_from_numpy(value, binary_data=binary)
        else:
            tensor.set_data_from_numpy(value)
        found.append(tensor)
    return found


def outputs(module: Any, **how: Any) -> list[Any]:
    return [module.InferRequestedOutput(name, **how) for name in ("OUTPUT0", "OUTPUT1")]


def check(result: Any) -> None:
    assert np.array_equal(result.as_numpy("OUTPUT0"), A + B)
    assert np.array_equal(result.as_numpy("OUTPUT1"), A - B)


@case
def simple_http_infer_client(t: Target) -> None:
    with t.http() as client:
        check(client.infer(t.model, inputs(httpclient), outputs=outputs(httpclient), headers=dict(t.headers)))
        check(client.infer(t.model, inputs(httpclient, binary=False), headers=dict(t.headers)))
        mixed = [inputs(httpclient)[0], inputs(httpclient, binary=False)[1]]
        asked = [
            httpclient.InferRequestedOutput("OUTPUT0", binary_data=True),
            httpclient.InferRequestedOutput("OUTPUT1", binary_data=False),
        ]
        check(client.infer(t.model, mixed, outputs=asked, query_params={"test_1": 1}, headers=dict(t.headers)))
        one = client.infer(t.model, inputs(httpclient), outputs=outputs(httpclient)[:1])
        assert one.as_numpy("OUTPUT1") is None and np.array_equal(one.as_numpy("OUTPUT0"), A + B)


@case
def simple_http_infer_client_with_compression(t: Target) -> None:
    with t.http() as client:
        for asked, answered in (("gzip", None), ("deflate", None), ("gzip", "gzip"), (None, "deflate")):
            result = client.infer(
                t.model,
                inputs(httpclient),
                request_compression_algorithm=asked,
                response_compression_algorithm=answered,
            )
            check(result)


@case
def simple_http_async_infer_client(t: Target) -> None:
    with t.http(concurrency=4) as client:
        waiting = [client.async_infer(t.model, inputs(httpclient)) for _ in range(8)]
        for one in waiting:
            check(one.get_result())


@case
def simple_http_aio_infer_client(t: Target) -> None:
    async def run() -> None:
        async with httpaio.InferenceServerClient(t.http_url) as client:
            assert await client.is_server_live() and await client.is_model_ready(t.model)
            answers = await asyncio.gather(*[client.infer(t.model, inputs(httpaio)) for _ in range(4)])
            for one in answers:
                check(one)

    asyncio.run(run())


@case
def simple_http_health_metadata(t: Target) -> None:
    with t.http() as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(t.model)
        assert client.get_server_metadata()["name"]
        metadata = client.get_model_metadata(t.model)
        assert metadata["name"] == t.model and len(metadata["inputs"]) == 2
        assert client.get_model_config(t.model)["name"] == t.model
        with_error(lambda: client.get_model_metadata("wrong_model_name"), "wrong_model_name")


@case
def simple_http_model_control(t: Target) -> None:
    with t.http() as client:
        assert any(entry["name"] == t.model for entry in client.get_model_repository_index(headers=t.admin))
        statistics = client.get_inference_statistics(t.model)["model_stats"]
        assert statistics[0]["name"] == t.model and statistics[0]["inference_stats"]["success"]["count"] > 0
        with_error(lambda: client.load_model("wrong_model_name", headers=t.admin), "wrong_model_name")


@case
def simple_http_shm_client(t: Target) -> None:
    with t.http() as client:
        shared_memory(t, client, httpclient)


@case
def simple_grpc_infer_client(t: Target) -> None:
    with t.grpc() as client:
        check(client.infer(t.model, inputs(grpcclient), outputs=outputs(grpcclient), headers={"test": "1"}))
        check(client.infer(t.model, inputs(grpcclient), compression_algorithm="gzip", request_id="7"))
        result = client.infer(t.model, inputs(grpcclient), request_id="my request")
        assert result.get_response().id == "my request"


@case
def simple_grpc_async_infer_client(t: Target) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with t.grpc() as client:
        for _ in range(4):
            client.async_infer(t.model, inputs(grpcclient), lambda result, error: done.put((result, error)))
        for _ in range(4):
            result, error = done.get(timeout=20)
            assert error is None, error
            check(result)


@case
def simple_grpc_aio_infer_client(t: Target) -> None:
    async def run() -> None:
        async with grpcaio.InferenceServerClient(t.grpc_url) as client:
            assert await client.is_server_ready()
            for one in await asyncio.gather(*[client.infer(t.model, inputs(grpcaio)) for _ in range(4)]):
                check(one)

    asyncio.run(run())


@case
def simple_grpc_stream_infer_client(t: Target) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with t.grpc() as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        for number in range(4):
            client.async_stream_infer(t.model, inputs(grpcclient), request_id=str(number))
        client.async_stream_infer("wrong_model_name", inputs(grpcclient))
        client.async_stream_infer(t.model, inputs(grpcclient), request_id="4", enable_empty_final_response=True)
        seen, failed = [], 0
        while len(seen) < 5:
            result, error = done.get(timeout=20)
            if error is not None:
                failed += 1
                continue
            check(result)
            seen.append(result.get_response().id)
        client.stop_stream()
    assert seen == ["0", "1", "2", "3", "4"] and failed == 1


@case
def simple_grpc_aio_stream_infer_client(t: Target) -> None:
    async def requests() -> Any:
        for number in range(3):
            yield {"model_name": t.model, "inputs": inputs(grpcaio), "request_id": str(number)}

    async def run() -> None:
        async with grpcaio.InferenceServerClient(t.grpc_url) as client:
            seen = 0
            async for result, error in client.stream_infer(requests()):
                assert error is None, error
                check(result)
                seen += 1
            assert seen == 3

    asyncio.run(run())


@case
def simple_grpc_health_metadata(t: Target) -> None:
    with t.grpc() as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(t.model)
        assert client.get_server_metadata().name
        assert client.get_model_metadata(t.model).name == t.model
        assert client.get_model_config(t.model).config.name == t.model
        assert client.get_model_config(t.model, as_json=True)["config"]["name"] == t.model
        with_error(lambda: client.get_model_metadata("wrong_model_name"), "wrong_model_name")


@case
def simple_grpc_model_control(t: Target) -> None:
    with t.grpc() as client:
        assert any(entry.name == t.model for entry in client.get_model_repository_index(headers=t.admin).models)
        assert client.get_inference_statistics(t.model).model_stats[0].name == t.model
        with_error(lambda: client.load_model("wrong_model_name", headers=t.admin), "wrong_model_name")


@case
def simple_grpc_shm_client(t: Target) -> None:
    with t.grpc() as client:
        shared_memory(t, client, grpcclient)


@case
def simple_grpc_keepalive_client(t: Target) -> None:
    options = grpcclient.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_permit_without_calls=True)
    with grpcclient.InferenceServerClient(t.grpc_url, keepalive_options=options) as client:
        check(client.infer(t.model, inputs(grpcclient)))


@case
def simple_grpc_custom_args_client(t: Target) -> None:
    arguments = [("grpc.max_send_message_length", 2**31 - 1), ("grpc.max_receive_message_length", 2**31 - 1)]
    with grpcclient.InferenceServerClient(t.grpc_url, channel_args=arguments) as client:
        check(client.infer(t.model, inputs(grpcclient)))


@case
def client_timeout(t: Target) -> None:
    with t.grpc() as client:
        check(client.infer(t.model, inputs(grpcclient), client_timeout=20))


@case
def grpc_client_raw_stub(t: Target) -> None:
    request = stub_request(t)
    request.raw_input_contents.extend([A.tobytes(), B.tobytes()])
    check_raw(call(t, request))


@case
def grpc_explicit_int_content_client(t: Target) -> None:
    request = stub_request(t)
    request.inputs[0].contents.int_contents[:] = A.reshape(-1).tolist()
    request.inputs[1].contents.int_contents[:] = B.reshape(-1).tolist()
    check_raw(call(t, request))


@case
def reuse_infer_objects_client(t: Target) -> None:
    for module, client in ((httpclient, t.http()), (grpcclient, t.grpc())):
        with client:
            tensors, asked = inputs(module), outputs(module)
            for _ in range(3):
                check(client.infer(t.model, tensors, outputs=asked))


def stub_request(t: Target, datatype: str = "INT32") -> Any:
    request = service_pb2.ModelInferRequest(model_name=t.model, id="my request id")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype=datatype, shape=[1, 16])
    for name in ("OUTPUT0", "OUTPUT1"):
        request.outputs.add(name=name)
    return request


def call(t: Target, request: Any) -> Any:
    import grpc

    with grpc.insecure_channel(t.grpc_url) as channel:
        return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)


def check_raw(response: Any) -> None:
    found = [np.frombuffer(raw, dtype=np.int32) for raw in response.raw_output_contents]
    assert np.array_equal(found[0], (A + B)[0]) and np.array_equal(found[1], (A - B)[0])


def shared_memory(t: Target, client: Any, module: Any) -> None:
    """Inputs and outputs by system shared memory, as the public examples name and lay them out."""
    size = A.nbytes
    client.unregister_system_shared_memory()
    output = shm.create_shared_memory_region("output_data", "/output_simple", size * 2)
    given = shm.create_shared_memory_region("input_data", "/input_simple", size * 2)
    try:
        client.register_system_shared_memory("output_data", "/output_simple", size * 2)
        shm.set_shared_memory_region(given, [A[0]])
        shm.set_shared_memory_region(given, [B[0]], offset=size)
        client.register_system_shared_memory("input_data", "/input_simple", size * 2)
        tensors, asked = inputs(module), outputs(module)
        for at, (tensor, wanted) in enumerate(zip(tensors, asked, strict=True)):
            tensor.set_shared_memory("input_data", size, offset=size * at)
            wanted.set_shared_memory("output_data", size, offset=size * at)
        client.infer(t.model, tensors, outputs=asked)
        assert np.array_equal(shm.get_contents_as_numpy(output, np.int32, [1, 16]), A + B)
        assert np.array_equal(shm.get_contents_as_numpy(output, np.int32, [1, 16], offset=size), A - B)
        status = client.get_system_shared_memory_status()
        assert len(status) == 2 if module is httpclient else len(status.regions) == 2
        client.unregister_system_shared_memory("input_data")
        client.unregister_system_shared_memory()
    finally:
        shm.destroy_shared_memory_region(output)
        shm.destroy_shared_memory_region(given)


def with_error(function: Callable[[], Any], text: str) -> None:
    try:
        function()
    except InferenceServerException as error:
        assert text.lower() in str(error).lower(), str(error)
    else:
        raise AssertionError("no error")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", required=True)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--model", default="simple")
    parser.add_argument("--admin-token-file", type=pathlib.Path)
    parser.add_argument("-o", choices=["text", "json"], default="text")
    told = parser.parse_args()
    token = told.admin_token_file.read_text().strip() if told.admin_token_file else ""
    admin = {"authorization": f"Bearer {token}"} if token else {}
    target = Target(told.http, told.grpc, told.model, {"test": "1"}, admin)
    results = {}
    for name, function in CASES.items():
        began = time.monotonic()
        try:
            function(target)
            results[name] = "PASS"
        except Exception as error:  # any failure is the case's
            results[name] = f"FAIL {type(error).__name__}: {error}"
        if told.o == "text":
            print(f"{results[name][:200]}  {name}  {time.monotonic() - began:.2f} s")
    failed = [name for name, result in results.items() if result != "PASS"]
    print(json.dumps(results) if told.o == "json" else f"{len(results) - len(failed)}/{len(results)} pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
