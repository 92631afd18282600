"""Answers a predictor's framework client (`asker.ask("infer", ...)`): tensors in, tensors out, as raw bytes.

`infer`: model, version, inputs (name, datatype, shape, size), outputs (names), traceparent, deadline (monotonic, of the
request that asks), and the inputs' bytes one after another; the answer has the same form. `signature`: model, version;
answers with the model's inputs and outputs.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from runtime.asks import Asks, Refused
from runtime.inference import InferError, InferRequest, Tensor, TensorMetadata
from runtime.models.catalog import LATEST
from runtime.triton.residents import Residents

Answer = tuple[dict[str, Any], bytes]


class Desk:
    """`residents` waits until there are models to ask."""

    def __init__(self, residents: Callable[[], Awaitable[Residents]], timeout: float) -> None:
        self._residents = residents
        self._timeout = timeout

    def register(self, asks: Asks) -> None:
        asks.register("infer", self.infer)
        asks.register("signature", self.signature)

    async def infer(self, meta: dict[str, Any], body: bytes) -> Answer:
        request = InferRequest(
            "", "", "", _tensors(meta["inputs"], body), tuple(meta.get("outputs") or ()),
            deadline=self._deadline(meta.get("deadline")),
            traceparent=str(meta.get("traceparent") or "").encode(),
        )  # fmt: skip
        try:
            residents = await self._residents()
            response = await residents.infer(meta.get("model"), str(meta.get("version") or LATEST), request)
        except InferError as error:
            raise Refused(str(error), str(error.status)) from None
        told = [
            {"name": x.name, "datatype": x.datatype, "shape": list(x.shape), "size": len(x.data)}
            for x in response.outputs
        ]
        head = {"model": response.model, "version": response.version, "outputs": told}
        return head, b"".join(bytes(x.data) for x in response.outputs)

    def _deadline(self, told: float | None) -> float:
        """The earlier of the caller's and what one request may take; 0 for none."""
        known = [told] if told else []
        return min([*known, time.monotonic() + self._timeout] if self._timeout else known, default=0.0)

    async def signature(self, meta: dict[str, Any], body: bytes) -> Answer:
        try:
            residents = await self._residents()
            resolved, entry = await residents.describe(meta.get("model"), str(meta.get("version") or LATEST))
        except InferError as error:
            raise Refused(str(error), str(error.status)) from None
        described = entry.describe()
        return {
            "model": resolved.name,
            "version": resolved.version,
            "generation": resolved.generation,
            "inputs": [_told(tensor) for tensor in described.inputs],
            "outputs": [_told(tensor) for tensor in described.outputs],
        }, b""


def _tensors(told: list[dict[str, Any]], body: bytes) -> list[Tensor]:
    found, at = [], 0
    for tensor in told:
        found.append(Tensor(tensor["name"], tensor["datatype"], tensor["shape"], body[at : at + tensor["size"]]))
        at += tensor["size"]
    return found


def _told(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
