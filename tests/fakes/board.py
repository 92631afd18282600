"""The reconciler's board, as a dict."""

from services.apiserver import model


class FakeBoard:
    def __init__(self) -> None:
        self.statuses: dict[str, model.Status] = {}

    def put(self, api: model.Api, status: model.Status) -> None:
        self.statuses[api.name] = status

    def get(self, name: str) -> model.Status | None:
        return self.statuses.get(name)

    def removed(self, name: str) -> None:
        self.statuses.pop(name, None)
