"""The service of the Open Inference Protocol is made by its first caller, and by nobody else's."""

import types
from typing import Any

import grpc

from runtime.oip import grpc_service


def test_the_first_call_makes_it_and_the_next_ones_use_it() -> None:
    made: list[Any] = []

    def make() -> grpc.GenericRpcHandler:
        live: Any = grpc.unary_unary_rpc_method_handler(lambda told, context: told)
        made.append(live)
        return grpc.method_handlers_generic_handler(grpc_service.SERVICE, {"ServerLive": live})

    service = grpc_service.OnFirstCall(make)

    def find(method: str) -> Any:
        return service.service(types.SimpleNamespace(method=method, invocation_metadata=()))

    assert find("/grpc.health.v1.Health/Check") is None and not made
    found = [find(f"/{grpc_service.SERVICE}/ServerLive") for _ in range(2)]
    assert len(made) == 1 and found == [made[0]] * 2
    assert find(f"/{grpc_service.SERVICE}/Nothing") is None
