"""The project folder as one zip archive: the same files make the same bytes, so that a second upload is none at all."""

import dataclasses
import hashlib
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from types import TracebackType
from typing import IO

from cortex_client.project import errors, files
from cortex_client.project.quantities import format_bytes

MOST_BYTES = 512 * 1024 * 1024
LARGE_BYTES = 10 * 1024 * 1024
MANY_FILES = 1000
_IN_MEMORY = 16 * 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)
# Large files are mostly weights that hardly shrink: the quickest level there saves seconds of a deploy.
_LARGE_FILE = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """A finished archive. `archive` is open for reading; close the bundle when done."""

    digest: str
    size: int
    file_count: int
    content_bytes: int
    archive: IO[bytes]

    @property
    def id(self) -> str:
        return self.digest.removeprefix("sha256:")

    @property
    def is_large(self) -> bool:
        return self.content_bytes > LARGE_BYTES or self.file_count > MANY_FILES

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.archive.close()


def build(folder: pathlib.Path, exclude: pathlib.Path | None = None) -> Bundle:
    """Raises BundleInvalid."""
    found = files.collect(folder, exclude)
    total = sum(file.size for file in found)
    if total > MOST_BYTES:
        raise errors.BundleInvalid(
            _too_large(folder, found, total), hint=f"list what to leave out in {files.IGNORE_FILE}"
        )
    archive: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the Bundle closes it
    try:
        _write(archive, found)
        digest, size = _hash(archive)
    except BaseException:
        archive.close()
        raise
    return Bundle(f"sha256:{digest}", size, len(found), total, archive)


def _write(archive: IO[bytes], found: Sequence[files.File]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in found:
            info = zipfile.ZipInfo(file.name, _TIME)
            info.create_system = 3
            info.external_attr = (0o755 if file.executable else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info._compresslevel = 1 if file.size > _LARGE_FILE else 6  # type: ignore[attr-defined]
            try:
                with file.path.open("rb") as source, target.open(info, "w", force_zip64=file.size > 2**31) as entry:
                    shutil.copyfileobj(source, entry, 1024 * 1024)
            except OSError as error:
                raise errors.BundleInvalid(f"{file.name} cannot be read: {error.strerror or error}") from None


def _hash(archive: IO[bytes]) -> tuple[str, int]:
    archive.seek(0)
    digest = hashlib.sha256()
    while chunk := archive.read(1024 * 1024):
        digest.update(chunk)
    size = archive.tell()
    archive.seek(0)
    return digest.hexdigest(), size


def _too_large(folder: pathlib.Path, found: Sequence[files.File], total: int) -> str:
    largest = sorted(found, key=lambda file: -file.size)[:5]
    lines = [f"  {format_bytes(file.size):>10}  {file.name}" for file in largest]
    head = f"the project {folder.resolve()} holds {format_bytes(total)}, more than {format_bytes(MOST_BYTES)}; largest:"
    return "\n".join([head, *lines])
