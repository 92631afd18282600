"""What can go wrong in the apiserver, each with its reason. The tree and the mapping to status live in the chassis.

Modules of this service import errors from here only, so that one name says which error is meant.
"""

from services.chassis.errors import Aborted as Aborted
from services.chassis.errors import AlreadyExists as AlreadyExists
from services.chassis.errors import CortexError as CortexError
from services.chassis.errors import FailedPrecondition as FailedPrecondition
from services.chassis.errors import InvalidArgument as InvalidArgument
from services.chassis.errors import NotFound as NotFound
from services.chassis.errors import ResourceExhausted as ResourceExhausted
from services.chassis.errors import Unavailable as Unavailable
from services.chassis.errors import Unimplemented as Unimplemented
from services.chassis.errors import Violation as Violation


class EtagMismatch(Aborted):
    """Somebody else wrote the record meanwhile."""


class EndpointTaken(AlreadyExists):
    default_reason = "ENDPOINT_TAKEN"


class RequestIdReused(AlreadyExists):
    default_reason = "REQUEST_ID_REUSED"


class ApiDeleting(FailedPrecondition):
    """The API is on its way out; its name is free again once it is gone."""

    default_reason = "API_DELETING"


class NoPreviousRevision(FailedPrecondition):
    default_reason = "NO_PREVIOUS_REVISION"


class BundleMissing(FailedPrecondition):
    default_reason = "BUNDLE_MISSING"


class OffsetMismatch(FailedPrecondition):
    """An upload goes on elsewhere than where the server is; metadata `committed_bytes` says where that is."""

    default_reason = "UPLOAD_OFFSET_MISMATCH"


class BundleCorrupt(InvalidArgument):
    default_reason = "BUNDLE_CORRUPT"


class BundleUnsafe(InvalidArgument):
    default_reason = "BUNDLE_UNSAFE_PATH"


class BundleTooLarge(ResourceExhausted):
    default_reason = "BUNDLE_TOO_LARGE"


class DiskFull(ResourceExhausted):
    default_reason = "DISK_FULL"


class TooManyStreams(ResourceExhausted):
    default_reason = "TOO_MANY_STREAMS"


class BackendUnavailable(Unavailable):
    """The node does not answer."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer, or another process holds its lock."""
