"""Requests of the inference protocol that are small to send and would be costly to serve."""

import asyncio
import json
import types
from typing import Any

import pytest

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from runtime import errors, scribe
from runtime.inference import InferError
from runtime.oip import grpc_messages, http_door, http_request, parameters, shared_memory


def no_regions() -> shared_memory.Regions:
    raise AssertionError("no shared memory here")


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_tensors_are_counted_before_they_are_read(field: str) -> None:
    told = pb.ModelInferRequest(model_name="m")
    told.inputs.add(name="x", datatype="FP32", shape=[0])
    for number in range(1025):
        getattr(told, field).add(name=str(number))
    with pytest.raises(InferError, match="1024 of each are the most"):
        grpc_messages.request(told, no_regions)
    tensor = {"name": "x", "datatype": "FP32", "shape": [0], "data": []}
    body = {"inputs": [tensor], "outputs": [], field: [tensor] * 1025}
    with pytest.raises(InferError, match="1024 of each are the most"):
        http_request.parse(json.dumps(body).encode(), b"", "m", "", no_regions)


@pytest.mark.parametrize("timeout", [10**400, float("nan"), float("inf"), -1, True, "1", [1]])
def test_a_timeout_is_a_number_of_microseconds(timeout: Any) -> None:
    with pytest.raises(InferError, match="'timeout' must be a number"):
        parameters.deadline({"timeout": timeout}, 1.0, 0.0)
    assert parameters.deadline({"timeout": 1e6}, 1.0, 0.0) == 2.0


@pytest.mark.parametrize("priority", [10**400, float("nan"), True, "1", [1], -1, 10])
def test_a_priority_is_a_digit(priority: Any) -> None:
    with pytest.raises(InferError, match="'priority' must be a whole number"):
        parameters.priority({"priority": priority})


async def test_a_defect_on_the_quick_way_is_answered_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    failed: list[errors.Failure] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
    engine: Any = types.SimpleNamespace(owns=lambda model: True)
    settings: Any = types.SimpleNamespace(max_request_bytes=1, admin_token_file="")
    nothing: Any = None
    door = http_door.OipDoor(settings, nothing, nothing, bool, bool, nothing, engine, scribe.Scribe())
    visit: Any = types.SimpleNamespace(
        path=b"models/m/infer", method=b"POST", header=lambda name: b"", exchange=types.SimpleNamespace(body=b""),
        answered=False, fail=failed.append,
    )  # fmt: skip
    defect = OverflowError("a defect")

    def begin(*given: Any) -> None:
        raise defect

    monkeypatch.setattr(door, "_begin", begin)
    assert door.quick(visit)
    assert (failed, told) == ([errors.INTERNAL], [defect])
