"""BundleService: the users' archives, in and out, resumable both ways."""

from collections.abc import AsyncIterator
from typing import Any

from cortex.apiserver.v1 import bundle_pb2
from cortex.apiserver.v1 import bundle_service_pb2 as pb
from cortex.apiserver.v1 import bundle_service_pb2_grpc as pb_grpc
from services.apiserver import blobs, drafting, errors, ports, resource_names, wire
from services.chassis import server

SERVICE = "cortex.apiserver.v1.BundleService"
MOST_INLINE_BYTES = 4 * 1024**2
MOST_CHUNK_BYTES = 1024**2


class BundleServicer(pb_grpc.BundleServiceServicer):
    def __init__(self, *, store: ports.BlobPort, index: blobs.Index, max_bytes: int) -> None:
        self._store = store
        self._index = index
        self._max_bytes = max_bytes

    async def GetBundle(self, request: pb.GetBundleRequest, context: Any) -> bundle_pb2.Bundle:
        namespace, digest = resource_names.parse_bundle(request.name)
        return await self._bundle(namespace, digest)

    async def CreateBundle(self, request: pb.CreateBundleRequest, context: Any) -> bundle_pb2.Bundle:
        namespace, data = resource_names.parse_parent(request.parent), request.archive.data
        if len(data) > MOST_INLINE_BYTES:
            raise _too_large(len(data), MOST_INLINE_BYTES, "; send it in chunks by UploadBundle")
        digest = blobs.digest_of(data)
        if await self._store.size(digest) is None:
            await self._store.append(digest, 0, data)
            await self._store.finish(digest)
        return await self._bundle(namespace, digest)

    async def UploadBundle(self, request_iterator: AsyncIterator[Any], context: Any) -> bundle_pb2.Bundle:
        first = await anext(aiter(request_iterator), None)
        if first is None:
            drafting.refuse([errors.Violation("name", "required in the first message")])
        assert first is not None
        namespace, digest = resource_names.parse_bundle(first.name)
        size = first.size_bytes
        if not 0 < size <= self._max_bytes:
            raise _too_large(size, self._max_bytes, "; keep models out of it, or list what can go in .cortexignore")
        if await self._store.size(digest) is None:
            await self._receive(digest, size, first, request_iterator)
        return await self._bundle(namespace, digest)

    async def _receive(self, digest: str, size: int, first: Any, rest: AsyncIterator[Any]) -> None:
        held = await self._store.committed(digest)
        if held > size:
            # What an earlier, other archive left under a name that is not its own.
            await self._store.discard(digest)
            held = 0
        if first.offset != held:
            raise blobs.offset_mismatch(first.offset, held)
        held = await self._take(digest, size, first)
        async for message in rest:
            held = await self._take(digest, size, message)
        if held < size:
            raise blobs.offset_mismatch(size, held)
        await self._store.finish(digest)

    async def _take(self, digest: str, size: int, message: Any) -> int:
        if len(message.data) > MOST_CHUNK_BYTES:
            drafting.refuse([errors.Violation("data", f"at most {MOST_CHUNK_BYTES} bytes a message")])
        if message.offset < 0 or message.offset + len(message.data) > size:
            drafting.refuse([errors.Violation("offset", f"offset and data reach beyond size_bytes ({size})")])
        return await self._store.append(digest, message.offset, message.data)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.Upload:
        _, digest = resource_names.parse_bundle(request.name)
        size = await self._store.size(digest)
        committed = await self._store.committed(digest) if size is None else size
        return pb.Upload(name=request.name, committed_bytes=committed, done=size is not None)

    async def DownloadBundle(
        self, request: pb.DownloadBundleRequest, context: Any
    ) -> AsyncIterator[pb.DownloadBundleResponse]:
        _, digest = resource_names.parse_bundle(request.name)
        size = await self._store.size(digest)
        if size is None:
            raise blobs.missing(digest)
        offset = request.offset
        if not 0 <= offset <= size:
            drafting.refuse([errors.Violation("offset", f"must be 0 to {size}")])
        if offset == size:
            yield pb.DownloadBundleResponse(size_bytes=size, offset=offset)
        async for data in self._store.read(digest, offset):
            yield pb.DownloadBundleResponse(size_bytes=size, offset=offset, data=data)
            offset += len(data)

    async def _bundle(self, namespace: str, digest: str) -> bundle_pb2.Bundle:
        size = await self._store.size(digest)
        if size is None:
            raise blobs.missing(digest)
        return bundle_pb2.Bundle(
            name=resource_names.bundle(namespace, digest),
            digest=f"sha256:{digest}",
            size_bytes=size,
            file_count=len(await self._index.files(self._store.path(digest))),
            create_time=wire.timestamp(await self._store.created(digest)),
        )


def _too_large(size: int, limit: int, hint: str) -> errors.CortexError:
    if size <= 0:
        return errors.InvalidArgument(
            "size_bytes must be the size of the archive", violations=[errors.Violation("size_bytes", "required")]
        )
    return errors.BundleTooLarge(
        f"the bundle has {size} bytes, at most {limit} are allowed{hint}",
        metadata={"limit_bytes": str(limit), "size_bytes": str(size)},
        violations=[errors.Violation("bundle", f"{size} bytes, limit {limit}")],
    )


def add(doors: server.Server, servicer: BundleServicer) -> None:
    doors.add(pb_grpc.add_BundleServiceServicer_to_server, servicer, SERVICE)
