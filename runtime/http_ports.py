"""What a connection needs of the server it belongs to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runtime import slabs
from runtime.bodies import Bodies
from runtime.http_exchange import Exchange
from runtime.http_heads import Heads

if TYPE_CHECKING:
    from runtime.http_protocol import Connection


class Door(Protocol):
    """What a connection needs of the server it belongs to."""

    draining: bool
    date: bytes
    max_body: int
    time: float
    bodies: Bodies
    heads: Heads
    slab: slabs.Slab | None
    connections: "set[Connection]"

    def handle(self, exchange: Exchange) -> None: ...
    def cancel(self, exchange: Exchange) -> None: ...
    def suffice(self, exchange: Exchange, status: int) -> None: ...
    def on_stalled(self, size: int) -> None: ...
    def refused(self, status: int, began: float) -> None: ...
    def new_request_id(self) -> bytes: ...
    def takes_encoded(self, path: bytes) -> bool: ...
    @property
    def wants_headers(self) -> bool: ...
    @property
    def now(self) -> Callable[[], float]: ...
