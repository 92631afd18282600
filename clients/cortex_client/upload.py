"""Brings a bundle to the control plane: not at all when it is there, else in chunks, resumed after every break."""

import random
import time
from collections.abc import Callable, Iterator

from cortex.apiserver.v1 import bundle_service_pb2 as pb
from cortex.apiserver.v1 import bundle_service_pb2_grpc as rpc
from cortex_client import exceptions, names
from cortex_client.project.bundle import Bundle
from cortex_client.transport import Transport

CHUNK = 256 * 1024
_TRIES = 6
_TIMEOUT = 600.0

Progress = Callable[[int, int], None]
"""Called with bytes sent and bytes in all."""


def ensure(
    transport: Transport,
    namespace: str,
    bundle: Bundle,
    *,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether anything had to be sent."""
    name = names.bundle(namespace, bundle.id)
    stub = rpc.BundleServiceStub(transport.channel)
    try:
        transport.call(stub.GetBundle, pb.GetBundleRequest(name=name), timeout=30.0)
        return False
    except exceptions.NotFound:
        pass
    _Upload(transport, name, bundle, progress or (lambda sent, total: None), sleep).run()
    return True


class _Upload:
    def __init__(
        self, transport: Transport, name: str, bundle: Bundle, progress: Progress, sleep: Callable[[float], None]
    ) -> None:
        self._transport = transport
        self._stub = rpc.BundleServiceStub(transport.channel)
        self._name = name
        self._bundle = bundle
        self._progress = progress
        self._sleep = sleep

    def run(self) -> None:
        """The server may hold part of it from an earlier try, this command's or another's."""
        offset = 0
        for attempt in range(_TRIES):
            try:
                self._send(offset)
                return
            except exceptions.Precondition as error:
                if error.reason != "UPLOAD_OFFSET_MISMATCH" or attempt == _TRIES - 1:
                    raise
            except (exceptions.Unavailable, exceptions.Internal):
                if attempt == _TRIES - 1:
                    raise
                self._sleep(min(0.2 * 2**attempt, 5.0) * random.uniform(0.8, 1.2))
            held = self._held()
            if held is None:
                return
            offset = held

    def _send(self, offset: int) -> None:
        self._transport.send(self._stub.UploadBundle, self._chunks(offset), timeout=_TIMEOUT)

    def _held(self) -> int | None:
        """Bytes the server holds, None when it has the whole."""
        upload = self._transport.call(self._stub.GetUpload, pb.GetUploadRequest(name=self._name), timeout=30.0)
        return None if upload.done else int(upload.committed_bytes)

    def _chunks(self, offset: int) -> Iterator[pb.UploadBundleRequest]:
        archive, size = self._bundle.archive, self._bundle.size
        archive.seek(offset)
        first = True
        while first or offset < size:
            data = archive.read(CHUNK)
            yield pb.UploadBundleRequest(name=self._name, size_bytes=size, offset=offset, data=data)
            offset += len(data)
            first = False
            self._progress(offset, size)
            if not data:
                return
