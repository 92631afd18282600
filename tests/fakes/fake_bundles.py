"""BundleService for tests: serves archives from memory, and can break a download half-way."""

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from cortex.apiserver.v1 import bundle_service_pb2, bundle_service_pb2_grpc

_CHUNK = 64 * 1024


def pack(files: Mapping[str, str]) -> bytes:
    """A zip archive with the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


class FakeBundles(bundle_service_pb2_grpc.BundleServiceServicer):
    """`break_after` bytes each download breaks once; `corrupt` sends other bytes than were asked for."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}
        self.offsets: list[int] = []
        self.break_after: int | None = None

    def add(self, content: bytes, *, digest: str = "") -> str:
        name = f"namespaces/default/bundles/{digest or hashlib.sha256(content).hexdigest()}"
        self.archives[name] = content
        return name

    async def DownloadBundle(
        self,
        request: bundle_service_pb2.DownloadBundleRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[bundle_service_pb2.DownloadBundleResponse]:
        content = self.archives.get(request.name)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such bundle")
        self.offsets.append(request.offset)
        for offset in range(request.offset, len(content), _CHUNK):
            if self.break_after is not None and offset >= self.break_after:
                self.break_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")
            data = content[offset : offset + _CHUNK]
            yield bundle_service_pb2.DownloadBundleResponse(size_bytes=len(content), offset=offset, data=data)


async def serve(bundles: FakeBundles) -> tuple[grpc.aio.Server, str]:
    """Keep the server: one that is collected stops serving."""
    server = grpc.aio.server()
    bundle_service_pb2_grpc.add_BundleServiceServicer_to_server(bundles, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
