"""Failures of the preparation that the user has to hear of, each with its reason."""

from services.node import model


class PreparationFailed(Exception):
    """`message` is for the user: the tool's own words, and what to do."""

    def __init__(self, reason: model.Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
