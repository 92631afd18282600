"""From what the user sent to a complete spec that may be stored: defaults, bounds, and the files it names."""

import dataclasses
from collections.abc import Collection, Sequence

from cortex.apiserver.v1 import spec_pb2
from services.apiserver import blobs, convert, defaults, errors, ports, resource_names, validation
from services.apiserver import spec as specs

MOST_SHOWN = 100
_IN_TEXT = 10
_KINDS = ("REALTIME",)
_TYPES = ("PYTHON", "TENSORFLOW", "ONNX", "TRITON")


@dataclasses.dataclass(frozen=True, slots=True)
class Sketch:
    """A spec for a plan. `skipped` says what could not be looked at."""

    spec: specs.ApiSpec
    skipped: tuple[str, ...] = ()


class Drafter:
    def __init__(self, store: ports.BlobPort, index: blobs.Index) -> None:
        self._blobs = store
        self._index = index

    async def draft(self, name: str, message: spec_pb2.ApiSpec) -> specs.ApiSpec:
        """Raises InvalidArgument with everything that is wrong, BundleMissing, or Unimplemented."""
        _check_kind(convert.wish(message))
        return complete(name, message, await self._files(message.bundle_digest))

    async def sketch(self, name: str, message: spec_pb2.ApiSpec, present: specs.ApiSpec | None) -> Sketch:
        """The same for a plan, which changes nothing, not even by an upload: without the bundle, what depends on its
        files is taken to be as it is at `present`."""
        try:
            return Sketch(await self.draft(name, message))
        except errors.BundleMissing:
            wish = convert.wish(message)
        usual = defaults.DEPENDENCIES.items() if present is not None else ()
        files = [file for field, file in usual if present and getattr(present.predictor, field) == file]
        spec = _resolve(name, wish, files)
        refuse(validation.check(spec))
        return Sketch(spec, (f"the files of {wish.bundle_digest} are not checked: it has not been uploaded yet",))

    async def _files(self, reference: str) -> frozenset[str] | None:
        """None for a reference that cannot be one: the validation says so."""
        digest = reference.removeprefix("sha256:")
        if not resource_names.is_digest(digest):
            return None
        if await self._blobs.size(digest) is None:
            raise errors.BundleMissing(
                f"the bundle {reference} was never uploaded; upload it first (BundleService.UploadBundle), then repeat",
                metadata={"bundle_digest": reference},
            )
        return await self._index.files(self._blobs.path(digest))


def complete(name: str, message: spec_pb2.ApiSpec, files: Collection[str] | None) -> specs.ApiSpec:
    """The complete spec. Without `files`, nothing is said about them. Raises as `draft` does."""
    wish = convert.wish(message)
    _check_kind(wish)
    spec = _resolve(name, wish, files or ())
    found = validation.check(spec)
    if files is not None:
        found += validation.check_files(spec, files)
    refuse(found)
    return spec


def _resolve(name: str, wish: defaults.Wish, files: Collection[str]) -> specs.ApiSpec:
    namespace, api_id = resource_names.parse_api(name)
    return defaults.resolve(wish, namespace=namespace, api_id=api_id, files=files)


def refuse(violations: Sequence[errors.Violation]) -> None:
    """Raises InvalidArgument when there are any. The text alone is enough to mend the file."""
    if not violations:
        return
    shown = "; ".join(f"{violation.field}: {violation.description}" for violation in violations[:_IN_TEXT])
    more = f"; and {len(violations) - _IN_TEXT} more" if len(violations) > _IN_TEXT else ""
    raise errors.InvalidArgument(f"the API is not valid: {shown}{more}", violations=violations[:MOST_SHOWN])


def _check_kind(wish: defaults.Wish) -> None:
    required = []
    for field, value, known in (("kind", wish.kind, _KINDS), ("predictor.type", wish.predictor["type"], _TYPES)):
        if not value:
            required.append(errors.Violation(field, f"required: {' or '.join(known)}"))
        elif value not in known:
            raise errors.Unimplemented(
                f"{field}: {value!r} is not built yet; this version runs {', '.join(known)}", metadata={"field": field}
            )
    refuse(required)
