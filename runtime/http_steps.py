"""How much of what a connection has received is parsed in one go, and the pieces of a body that came of it.

A read brings up to 256 KiB: that can be 14,000 requests, or 40,000 chunks of a body, and nobody else would be served
before the last of them. So it is parsed in steps, and what is left after a turn's worth waits for the next turn of the
event loop, with reading paused.
"""

_TURN = 512
# What is charged to the turn, by what it costs: a request is about 20 us, a chunk one half.
_REQUEST = 16
_LEAST_BYTES = 1024
_MOST_BYTES = 64 * 1024
_FEW_CHUNKS = 4  # in a step, so that the next may be longer
_PIECES = 256
_JOINED_BYTES = 1024 * 1024


class Steps:
    """Of one connection."""

    __slots__ = ("_bytes", "_chunks", "_spent", "joined", "rest", "seen")

    def __init__(self) -> None:
        self.rest = b""  # for the next turn
        self.seen = 0  # chunks of the body, after the last step
        self.joined = 0  # of them, in front, that stay as they are
        self._spent = 0
        self._bytes = _LEAST_BYTES  # of a body in chunks
        self._chunks = 0  # in the last step

    def begin(self) -> None:
        """A turn."""
        self._spent = 0

    @property
    def over(self) -> bool:
        return self._spent >= _TURN

    def size(self, in_body: bool, left: int) -> int:
        """Bytes of the next step; `left` of a body whose length is known, which is one piece however long it is."""
        if not in_body:
            return _LEAST_BYTES
        if left > 0:
            return left
        self._bytes = min(2 * self._bytes, _MOST_BYTES) if self._chunks <= _FEW_CHUNKS else _LEAST_BYTES
        return self._bytes

    def request(self) -> None:
        self._spent += _REQUEST

    def settle(self, chunks: list[bytes]) -> None:
        """After a step. Joins small chunks now and then: each of two bytes would take forty."""
        self._chunks = max(0, len(chunks) - self.seen)
        self._spent += self._chunks
        if len(chunks) - self.joined >= _PIECES:
            small = chunks[self.joined :]
            if sum(map(len, small)) < _JOINED_BYTES:
                chunks[self.joined :] = [b"".join(small)]
            self.joined = len(chunks)
        self.seen = len(chunks)
