"""What the apiserver needs of the world, named for the need. Adapters: `store/`, `node.py`, `xds/`, `blobs.py`."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Protocol

from services.apiserver import model


class BackendPort(Protocol):
    """Realises replicas. Idempotent; raises `errors.BackendUnavailable` when the node does not answer."""

    async def start_replica(self, replica_id: str, revision: model.Revision) -> None: ...

    async def stop_replica(self, replica_id: str, drain_timeout: float) -> None: ...

    def observed(self) -> tuple[Mapping[str, model.Replica], float | None]:
        """Replicas by id and when the node was last heard of; None until its whole state has been seen once."""
        ...

    async def run(self, changed: "Changed") -> None:
        """Keeps `observed` true until cancelled; calls `changed(api name)` on every difference and on every failure."""
        ...


class Changed(Protocol):
    def __call__(self, api: str, /) -> None: ...


class GatewayPort(Protocol):
    """The gateways, as fed by xDS."""

    def publish(self, routes: Sequence[model.Route]) -> None:
        """Makes this the whole configuration. Cheap when nothing differs. The first call opens the ADS server's mouth:
        before it, gateways keep what they have."""
        ...

    def view(self) -> model.GatewayView: ...

    def on_change(self, changed: Changed) -> None:
        """Registers the listener that is told which API's acknowledged route moved."""
        ...


class StorePort(Protocol):
    """The database. Raises `errors.NotFound`, `errors.AlreadyExists`, `errors.EtagMismatch`, `errors.DiskFull`."""

    async def get_api(self, name: str) -> model.Api: ...

    async def list_apis(self, namespace: str | None, after: str, limit: int) -> Sequence[model.Api]:
        """By name, names greater than `after`; `namespace` None means all."""
        ...

    async def list_names(self) -> Sequence[str]:
        """The names of all APIs, in order: what can be had for little where the rest is not needed."""
        ...

    async def create_api(
        self, api: model.Api, revision: model.Revision, *, answer: model.Answer | None = None
    ) -> model.Api:
        """Stores both, `api` as version 1, and `answer` with them."""
        ...

    async def update_api(
        self,
        api: model.Api,
        *,
        expected_version: int,
        revision: model.Revision | None = None,
        answer: model.Answer | None = None,
    ) -> model.Api:
        """Writes `api` where the stored version equals `expected_version`, raises it by one; adds `revision` and
        `answer`."""
        ...

    async def delete_api(self, name: str, uid: str) -> None:
        """Removes the record and its revisions; events stay until `prune_events`."""
        ...

    async def get_revision(self, api: str, revision_id: str) -> model.Revision: ...

    async def list_revisions(self, api: str, before: int | None, limit: int) -> Sequence[model.Revision]:
        """Newest first, numbers lower than `before`."""
        ...

    async def bundle_digests(self) -> Collection[str]:
        """`sha256:<hex>` of every bundle that some stored revision names."""
        ...

    async def set_revision_state(
        self, api: str, revision_id: str, state: model.RevisionState, reason: model.Reason, message: str
    ) -> None: ...

    async def add_event(self, event: model.Event) -> model.Event:
        """Stores it, or raises the count of the newest event of that API when equal but for time. Keeps the newest
        1000 events an API."""
        ...

    async def list_events(
        self, namespace: str | None, api: str | None, *, before: int | None = None, after: int | None = None, limit: int
    ) -> Sequence[model.Event]:
        """Newest first below `before`, or oldest first above `after`."""
        ...

    async def prune_events(self, before: float, most: int) -> int:
        """Removes events of APIs that are gone: those from before `before`, and per namespace all but the newest
        `most`. The newest event of all stays, whatever its age: streams go on behind it. Returns how many."""
        ...

    async def recall(self, request_id: str, digest: str) -> str | None:
        """Resource name a request id was answered with; raises `errors.RequestIdReused` when `digest` differs."""
        ...

    async def remember(self, answer: model.Answer) -> None:
        """Keeps the answer of a request that wrote nothing; one that wrote hands it over with its write."""
        ...


class BlobPort(Protocol):
    """Content-addressed files: local disk now, S3 later. Keys are SHA-256 in hex."""

    async def size(self, digest: str) -> int | None:
        """Size of a finished blob, None when there is none."""
        ...

    async def created(self, digest: str) -> float:
        """When a finished blob was finished. Raises `errors.NotFound`."""
        ...

    async def committed(self, digest: str) -> int:
        """Bytes of a broken upload held safely."""
        ...

    async def append(self, digest: str, offset: int, data: bytes) -> int: ...

    async def finish(self, digest: str) -> int:
        """Verifies the digest and makes it visible. Returns its size; raises `errors.BundleCorrupt`."""
        ...

    async def discard(self, digest: str) -> None: ...

    def read(self, digest: str, offset: int) -> AsyncIterator[bytes]: ...

    def path(self, digest: str) -> str:
        """Local path of a finished blob."""
        ...
