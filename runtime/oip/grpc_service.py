"""`inference.GRPCInferenceService` as the gRPC door knows it: a name, messages for reflection, and who answers.

Who answers is made when somebody first calls, as over HTTP: the imports would only delay a start.
"""

from collections.abc import Callable
from typing import Any

import grpc

from cortex.inference.v2 import grpc_inference_service_pb2 as pb

POOL = pb.DESCRIPTOR.pool
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class OnFirstCall(grpc.GenericRpcHandler):
    """`make` makes the handlers of the service."""

    def __init__(self, make: Callable[[], grpc.GenericRpcHandler]) -> None:
        self._make = make
        self._made: grpc.GenericRpcHandler | None = None

    def service(self, handler_call_details: Any) -> Any:
        if not handler_call_details.method.startswith(f"/{SERVICE}/"):
            return None
        if self._made is None:
            self._made = self._make()
        return self._made.service(handler_call_details)
