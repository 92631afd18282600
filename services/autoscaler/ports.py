"""What the scaler needs of the world."""

from typing import Protocol


class ScalePort(Protocol):
    """Writes the wanted number of replicas. Raises chassis errors; idempotent."""

    async def scale(self, api: str, desired: int, reason: str) -> None: ...


class HeldPort(Protocol):
    """How many requests wait for the first replica of an API."""

    def held(self, api: str) -> int: ...
