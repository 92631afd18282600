"""The current status of each API, as the reconciler saw it at its last pass. Never stored: status is observation."""

from collections.abc import Callable

from services.apiserver import model, watch


class StatusBoard:
    """The reconciler puts, servicers read. `heard` tells when the node was last heard of: a status put a minute ago is
    still true while the node keeps confirming that nothing changed."""

    def __init__(self, hub: watch.Hub, heard: Callable[[], float | None] = lambda: None) -> None:
        self._hub = hub
        self._heard = heard
        self._statuses: dict[str, tuple[str, model.Status]] = {}

    def put(self, api: model.Api, status: model.Status) -> None:
        self._statuses[api.name] = (api.uid, status)
        self._hub.observed(api, status)

    def get(self, name: str) -> model.Status | None:
        found = self._statuses.get(name)
        return found[1] if found is not None else None

    def of(self, api: model.Api) -> model.Status | None:
        """The status of this very API, not of one of the same name that was there before."""
        found = self._statuses.get(api.name)
        return found[1] if found is not None and found[0] == api.uid else None

    def removed(self, name: str) -> None:
        self._statuses.pop(name, None)

    def observed_at(self, status: model.Status) -> float | None:
        """When what `status` says was last confirmed."""
        times = [time for time in (status.observe_time, self._heard()) if time is not None]
        return max(times, default=None) if status.observe_time is not None else None
