"""The user's files on this machine: downloaded once, verified, unpacked once, shared read-only by all replicas."""

import asyncio
import hashlib
import os
import pathlib
import uuid
from collections.abc import Callable

import grpc
import structlog

from cortex.apiserver.v1 import bundle_service_pb2, bundle_service_pb2_grpc
from services.node import archive, failures, model, ports

_log = structlog.get_logger("bundles")
_CHUNK = 1024 * 1024


class Store:
    """Unpacked bundles by digest. `prepare` may be called at once by many replicas: the work is done once."""

    def __init__(self, folder: pathlib.Path, source: ports.BundlePort, limits: archive.Limits) -> None:
        self._folder = folder
        self._source = source
        self._limits = limits
        self._locks: dict[str, asyncio.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def prepare(self, name: str, tell: Callable[[str], None]) -> pathlib.Path:
        """The folder with the bundle's files. Raises PreparationFailed."""
        digest = name.rpartition("/")[2]
        target = self._folder / digest
        async with self._locks.setdefault(digest, asyncio.Lock()):
            if not target.exists():
                packed = self._folder / f"{digest}.zip"
                tell("fetching the bundle")
                await self._source.fetch(name, packed, tell)
                await asyncio.to_thread(self._unpack, packed, target, digest)
        # The time of last use, for the garbage collection.
        os.utime(target)
        return target

    def _unpack(self, packed: pathlib.Path, target: pathlib.Path, digest: str) -> None:
        found = _sha256(packed)
        if found != digest:
            packed.unlink()
            words = f"the bundle that arrived has digest {found}, not {digest}; it is fetched again"
            raise failures.PreparationFailed(model.Reason.BUNDLE_FAILED, words)
        temporary = self._folder / f"{digest}.new-{uuid.uuid4().hex[:8]}"
        try:
            archive.extract(packed, temporary, self._limits)
            temporary.rename(target)
        except (archive.UnsafeArchive, OSError) as error:
            archive.remove(temporary)
            raise failures.PreparationFailed(
                model.Reason.BUNDLE_FAILED, f"the bundle could not be unpacked: {error}"
            ) from error
        finally:
            packed.unlink(missing_ok=True)


class ApiserverBundles:
    """BundlePort over BundleService: goes on with a download that broke, waits for an apiserver that is away."""

    def __init__(self, channel: grpc.aio.Channel, *, retry_delay: float = 0.5, stall_timeout: float = 30.0) -> None:
        self._stub: bundle_service_pb2_grpc.BundleServiceAsyncStub = bundle_service_pb2_grpc.BundleServiceStub(channel)
        self._retry_delay = retry_delay
        self._stall_timeout = stall_timeout

    async def fetch(self, name: str, target: pathlib.Path, tell: Callable[[str], None]) -> None:
        partial = target.with_name(target.name + ".part")
        while True:
            try:
                await self._once(name, partial, tell)
                break
            except grpc.aio.AioRpcError as error:
                self._judge(error, name, partial)
                tell(f"waiting for the apiserver to fetch the bundle ({error.code().name})")
            except TimeoutError:
                tell("the download of the bundle stalled; going on with it")
            await asyncio.sleep(self._retry_delay)
        partial.rename(target)

    async def _once(self, name: str, partial: pathlib.Path, tell: Callable[[str], None]) -> None:
        held = _size(partial)
        request = bundle_service_pb2.DownloadBundleRequest(name=name, offset=held)
        call = self._stub.DownloadBundle(request)
        size = 0
        try:
            with partial.open("ab") as file:
                while True:
                    # Not wait_for: it can swallow a cancellation that comes together with a part.
                    async with asyncio.timeout(self._stall_timeout):
                        part = await call.read()
                    if not isinstance(part, bundle_service_pb2.DownloadBundleResponse):
                        break
                    size = part.size_bytes or size
                    if part.data and part.offset != held:
                        raise ValueError(f"the apiserver sent bytes from {part.offset}, {held} were asked for")
                    file.write(part.data)
                    held += len(part.data)
                    tell(f"fetching the bundle: {held >> 10} of {size >> 10} KiB")
                os.fsync(file.fileno())
        except ValueError as error:
            _discard(partial)
            raise failures.PreparationFailed(model.Reason.BUNDLE_FAILED, str(error)) from error
        finally:
            call.cancel()

    def _judge(self, error: grpc.aio.AioRpcError, name: str, partial: pathlib.Path) -> None:
        """Raises where another try cannot help."""
        code = error.code()
        if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
            partial.unlink(missing_ok=True)
            raise failures.PreparationFailed(
                model.Reason.BUNDLE_FAILED, f"the apiserver does not give out {name}: {error.details()}; deploy again"
            ) from error
        _log.warning("bundle download broke", bundle=name, code=code.name, details=error.details())


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(path: pathlib.Path) -> None:
    path.unlink(missing_ok=True)


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
