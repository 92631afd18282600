"""Addresses of replicas: loopback ports below the ephemeral range, so that no outgoing connection ever takes one."""

import random

from services.chassis import errors, processes
from services.node import model

_HOST = "127.0.0.1"


class Addresses:
    """Hands out ports and knows who holds them. A replica keeps its ports over restarts."""

    def __init__(self, first: int, last: int, rng: random.Random) -> None:
        self._first = first
        self._count = last - first + 1
        self._next = rng.randrange(self._count)
        self._held: set[int] = set()

    def allocate(self) -> tuple[str, str]:
        return self._one(), self._one()

    def hold(self, record: model.Record) -> None:
        self._held |= _ports(record)

    def release(self, record: model.Record) -> None:
        self._held -= _ports(record)

    def _one(self) -> str:
        for _ in range(self._count):
            port = self._first + self._next
            self._next = (self._next + 1) % self._count
            if port not in self._held and processes.is_free(f"{_HOST}:{port}"):
                self._held.add(port)
                return f"{_HOST}:{port}"
        raise errors.ResourceExhausted(
            f"no free port between {self._first} and {self._first + self._count - 1} is left for a replica; "
            "stop some, or widen CORTEX_REPLICA_FIRST_PORT and CORTEX_REPLICA_LAST_PORT"
        )


def _ports(record: model.Record) -> set[int]:
    return {int(address.rpartition(":")[2]) for address in (record.http_address, record.grpc_address) if address}
