"""The apiserver's servicers over a real gRPC server on a free port, with SQLite and blobs in the test's own folder.

There is no reconciler: `enqueued` holds what it would have been asked to look at, `statuses` takes what it would have
put. Time stands still until a test moves `clock`.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import pathlib
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cortex.apiserver.v1 import (
    api_pb2,
    api_service_pb2,
    api_service_pb2_grpc,
    bundle_service_pb2,
    bundle_service_pb2_grpc,
    event_service_pb2_grpc,
    gateway_service_pb2_grpc,
    spec_pb2,
)
from services.apiserver import (
    announcing,
    archive,
    blobs,
    board,
    deploying,
    drafting,
    introduction,
    servicer_api,
    servicer_bundles,
    servicer_events,
    servicer_gateways,
    watch,
)
from services.apiserver.store import schema, session, sql
from services.chassis import channels, server, telemetry
from tests.fakes import gateway

OFF = telemetry.Telemetry(None, None)
IRIS = "namespaces/default/apis/iris"


class StillClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclasses.dataclass
class Apiserver:
    apis: Any
    bundles: Any
    events: Any
    gateways: Any
    store: announcing.AnnouncingStore
    statuses: board.StatusBoard
    hub: watch.Hub
    clock: StillClock
    enqueued: list[str]
    heard: list[float | None]
    statuses_of_gateways: list[Any]

    async def upload(self, **files: str) -> str:
        """Digest reference of a bundle with these files; `__` in a name stands for `/`, `_py` for `.py`."""
        data = archive_of({_path(name): text for name, text in files.items()})
        archive_message = {"content_type": "application/zip", "data": data}
        request = bundle_service_pb2.CreateBundleRequest(parent="namespaces/default", archive=archive_message)
        return str((await self.bundles.CreateBundle(request)).digest)

    async def deploy(self, name: str = IRIS, **changes: Any) -> api_pb2.Api:
        spec = changes.pop("spec", None) or await self.spec()
        api = api_pb2.Api(name=name, spec=spec, **changes)
        return await self.apis.UpdateApi(api_service_pb2.UpdateApiRequest(api=api, allow_missing=True))  # type: ignore[no-any-return]

    async def spec(self, code: str = "class PythonPredictor: pass", **predictor: Any) -> spec_pb2.ApiSpec:
        digest = await self.upload(predictor_py=code)
        return spec_pb2.ApiSpec(
            kind=spec_pb2.API_KIND_REALTIME,
            predictor={"type": "PREDICTOR_TYPE_PYTHON", "path": "predictor.py", **predictor},
            bundle_digest=digest,
        )


@contextlib.asynccontextmanager
async def running(
    folder: pathlib.Path, *, max_bundle_bytes: int = 2**26, most_watchers: int = 10
) -> AsyncIterator[Apiserver]:
    database, clock = session.Database(f"sqlite:///{folder}/cortex.db"), StillClock()
    await schema.prepare(database)
    enqueued: list[str] = []
    heard: list[float | None] = [None]
    gateways: list[Any] = []
    hub = watch.Hub(most_watchers=most_watchers)
    store = announcing.AnnouncingStore(sql.SqlStore(database), hub, enqueued.append)
    statuses = board.StatusBoard(hub, lambda: heard[0])
    files, index, uids = blobs.DiskBlobs(folder, archive.check), blobs.Index(archive.files), itertools.count(1)
    writes = deploying.Deploying(store=store, clock=clock, new_uid=lambda: f"uid{next(uids)}")
    drafter = drafting.Drafter(files, index)
    doors = server.Server("127.0.0.1:0", OFF)
    no_gateway = gateway.FakeGateway(clock)
    no_gateway.cut()
    apis = servicer_api.ApiServicer(
        store=store,
        deploying=writes,
        drafter=drafter,
        introduction=introduction.Introduction(no_gateway),
        statuses=statuses,
        hub=hub,
        clock=clock,
    )
    servicer_api.add(doors, apis)
    servicer_events.add(doors, servicer_events.EventServicer(store, hub))
    bundles = servicer_bundles.BundleServicer(store=files, index=index, max_bytes=max_bundle_bytes)
    servicer_bundles.add(doors, bundles)
    servicer_gateways.add(doors, servicer_gateways.GatewayServicer(lambda: gateways))
    await doors.start()
    async with channels.connect(f"127.0.0.1:{doors.port}", OFF) as channel:
        yield Apiserver(
            apis=api_service_pb2_grpc.ApiServiceStub(channel),
            bundles=bundle_service_pb2_grpc.BundleServiceStub(channel),
            events=event_service_pb2_grpc.EventServiceStub(channel),
            gateways=gateway_service_pb2_grpc.GatewayServiceStub(channel),
            store=store,
            statuses=statuses,
            hub=hub,
            clock=clock,
            enqueued=enqueued,
            heard=heard,
            statuses_of_gateways=gateways,
        )
    await doors.drain(0)
    await store.settle()
    await database.close()


def archive_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            # One time for all: equal files give an equal archive.
            made.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def hex_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class Refusal:
    """What a caller reads of an error."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    fields: dict[str, str]


async def refused(call: Any) -> Refusal:
    """The error that awaiting `call` (or reading from it) ends in."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return _refusal(error)
    raise AssertionError("the call was not refused")


def _refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    details: Sequence[Any] = status.details if status is not None else ()
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return Refusal(
        code=error.code(),
        reason=info.reason.removeprefix("ERROR_REASON_"),
        message=error.details() or "",
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in bad.field_violations},
    )


def _path(name: str) -> str:
    stem, _, suffix = name.replace("__", "/").rpartition("_")
    return f"{stem}.{suffix}"
