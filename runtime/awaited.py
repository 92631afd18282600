"""A call whose answer a coroutine waits for: what the gRPC door and the mounted paths hand to the dispatcher."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from runtime import errors
from runtime.calls import Call
from runtime.shim import frames

_CREDIT_STEP = frames.WINDOW // 4


class AwaitedCall(Call):
    """`opening` is done once status and headers are known, or `failure` is set. The body comes in `parts()`."""

    __slots__ = (
        "_parts",
        "_whole",
        "broken",
        "content_type",
        "failure",
        "headers",
        "opening",
        "reason",
        "said",
        "streams",
    )

    def __init__(self, began: float) -> None:
        super().__init__(began)
        self._whole: bytes | None = None  # the body of an answer that is no stream
        self._parts: asyncio.Queue[bytes | None] | None = None  # of one that is
        self.opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.content_type = ""
        self.reason = ""  # an ErrorReason without its prefix, where the worker names one
        self.headers: list[tuple[bytes, bytes]] = []
        self.said = 0  # the status with which the answer began; a stream may end with another
        self.streams = False
        self.broken = False  # the answer had begun and lacks its end
        self.failure: errors.Failure | None = None

    def on_response(self, status: int, fields: Sequence[bytes], body: bytes) -> None:
        self._whole = body
        self._open(status, fields)

    def on_stream_head(self, status: int, fields: Sequence[bytes]) -> None:
        self.streams = True
        self._parts = asyncio.Queue()
        self._open(status, fields)

    def on_stream_chunk(self, data: bytes) -> None:
        self._put(data)

    def on_stream_end(self, *, broken: bool) -> None:
        if broken:
            self.broken = True
            self.failure = errors.BROKEN_STREAM
        self._put(None)

    def on_failure(self, failure: errors.Failure) -> None:
        self.failure = failure
        self._start()
        self._put(None)

    async def parts(self) -> AsyncIterator[bytes]:
        """Grants the worker as much as has been taken."""
        await self.opening
        if self._parts is None:
            whole, self._whole = self._whole, None
            if whole is not None:
                yield whole
            return
        owed = 0
        while (part := await self._parts.get()) is not None:
            yield part
            owed += frames.cost(part)
            if owed >= _CREDIT_STEP:
                self.grant(owed)
                owed = 0

    async def answer(self) -> bytes:
        """The whole body."""
        await self.opening
        if self._parts is None:
            whole, self._whole = self._whole, None
            return whole or b""
        return b"".join([part async for part in self.parts()])

    @property
    def refused(self) -> bool:
        """Whether all there is to the answer, once it has begun, is a failure."""
        return self.said >= 400 or (self.failure is not None and not self.streams)

    @property
    def waiting(self) -> bool:
        """Whether more of the body is here already."""
        return self._whole is not None or (self._parts is not None and not self._parts.empty())

    def _put(self, part: bytes | None) -> None:
        if self._parts is not None:
            self._parts.put_nowait(part)

    def _open(self, status: int, fields: Sequence[bytes]) -> None:
        self.status = self.said = status
        self.content_type = fields[0].decode("latin-1")
        self.reason = fields[1].decode("latin-1")
        self.headers = list(zip(fields[3::2], fields[4::2], strict=True))
        self._start()

    def _start(self) -> None:
        if not self.opening.done():
            self.opening.set_result(None)
