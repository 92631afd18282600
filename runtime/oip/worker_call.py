"""A call to a worker on behalf of an engine: its failures are InferErrors."""

from runtime import grpc_errors
from runtime.awaited import AwaitedCall
from runtime.inference import InferError


class WorkerCall(AwaitedCall):
    """Await `opened`, then read `answer()` or `parts()`, then `check`."""

    __slots__ = ()

    async def opened(self) -> None:
        """Waits for the answer to begin. Raises InferError when it is a failure."""
        await self.opening
        if not self.streams:  # one that has begun is read to where it broke off
            self.check()
        if self.said >= 400:
            text = grpc_errors.text(await self.answer(), self.content_type)
            raise InferError(self.said, text, self.reason or "UNSPECIFIED")

    def check(self) -> None:
        """Raises InferError when the answer failed, at once or half way."""
        failure = self.failure
        if failure is not None:
            raise InferError.of(failure)
