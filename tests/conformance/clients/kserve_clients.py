"""KServe's own REST and gRPC clients against any server; the arguments are those of triton_examples.py."""

import argparse
import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

# kserve reads the command line when it is imported, and ours is not for it.
ARGUMENTS, sys.argv[1:] = sys.argv[1:], []
kserve: Any = importlib.import_module("kserve")
RESTConfig: Any = importlib.import_module("kserve.inference_client").RESTConfig
RequestedOutput: Any = importlib.import_module("kserve.protocol.infer_type").RequestedOutput

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), dtype=np.int32)
Case = Callable[["Target"], Awaitable[None]]
CASES: dict[str, Case] = {}


class Target:
    """Where the server is."""

    def __init__(self, http: str, grpc: str, model: str) -> None:
        self.base = http if http.startswith("http") else f"http://{http}"
        self.grpc, self.model = grpc, model
        self.rest = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def request(t: Target, *, binary: bool, outputs: "list[Any] | None" = None) -> Any:
    inputs = []
    for name, value in (("INPUT0", A), ("INPUT1", B)):
        tensor = kserve.InferInput(name=name, shape=list(value.shape), datatype="INT32")
        tensor.set_data_from_numpy(value, binary_data=binary)
        inputs.append(tensor)
    return kserve.InferRequest(model_name=t.model, infer_inputs=inputs, request_outputs=outputs, request_id="kserve-1")


def check(response: Any) -> None:
    found = {output.name: output.as_numpy() for output in response.outputs}
    assert np.array_equal(found["OUTPUT0"], A + B) and np.array_equal(found["OUTPUT1"], A - B)
    assert response.id == "kserve-1"


@case
async def rest_is_server_live(t: Target) -> None:
    assert await t.rest.is_server_live(t.base)


@case
async def rest_is_server_ready(t: Target) -> None:
    assert await t.rest.is_server_ready(t.base)


@case
async def rest_is_model_ready(t: Target) -> None:
    assert await t.rest.is_model_ready(t.base, t.model)
    assert not await t.rest.is_model_ready(t.base, "wrong_model_name")


@case
async def rest_infer_json(t: Target) -> None:
    check(await t.rest.infer(t.base, request(t, binary=False), model_name=t.model))


@case
async def rest_infer_binary(t: Target) -> None:
    check(await t.rest.infer(t.base, request(t, binary=True), model_name=t.model))


@case
async def rest_infer_binary_outputs(t: Target) -> None:
    outputs = [RequestedOutput(name, parameters={"binary_data": True}) for name in ("OUTPUT0", "OUTPUT1")]
    check(await t.rest.infer(t.base, request(t, binary=True, outputs=outputs), model_name=t.model))


@case
async def rest_error(t: Target) -> None:
    try:
        await t.rest.infer(t.base, request(t, binary=False), model_name="wrong_model_name")
    except Exception as error:
        assert "404" in str(error), str(error)
    else:
        raise AssertionError("no error")


@case
async def grpc_health(t: Target) -> None:
    async with kserve.InferenceGRPCClient(t.grpc) as client:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(t.model)


@case
async def grpc_infer_raw(t: Target) -> None:
    async with kserve.InferenceGRPCClient(t.grpc) as client:
        check(await client.infer(request(t, binary=True)))


@case
async def grpc_infer_contents(t: Target) -> None:
    async with kserve.InferenceGRPCClient(t.grpc) as client:
        check(await client.infer(request(t, binary=False)))


@case
async def grpc_infer_with_headers_and_timeout(t: Target) -> None:
    async with kserve.InferenceGRPCClient(t.grpc) as client:
        check(await client.infer(request(t, binary=True), timeout=20, headers=(("x-request-id", "abc"),)))


@case
async def grpc_error(t: Target) -> None:
    async with kserve.InferenceGRPCClient(t.grpc) as client:
        wrong = request(t, binary=True)
        wrong.model_name = "wrong_model_name"
        try:
            await client.infer(wrong)
        except Exception as error:
            assert "NOT_FOUND" in str(error), str(error)
        else:
            raise AssertionError("no error")


async def run(t: Target) -> dict[str, str]:
    results = {}
    for name, function in CASES.items():
        try:
            await function(t)
            results[name] = "PASS"
        except Exception as error:  # any failure is the case's
            results[name] = f"FAIL {type(error).__name__}: {error}"
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", required=True)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--model", default="simple")
    parser.add_argument("-o", choices=["text", "json"], default="text")
    told = parser.parse_args(ARGUMENTS)
    results = asyncio.run(run(Target(told.http, told.grpc, told.model)))
    failed = [name for name, result in results.items() if result != "PASS"]
    if told.o == "json":
        print(json.dumps(results))
    else:
        print(*[f"{result[:300]}  {name}" for name, result in results.items()], sep="\n")
        print(f"{len(results) - len(failed)}/{len(results)} pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
