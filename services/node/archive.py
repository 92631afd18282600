"""Unpacking an archive that a stranger made: nothing leaves its folder, nothing is a link, nothing fills the disk.

Sizes are counted while writing, since what an archive says of itself is the stranger's word too.
"""

import dataclasses
import os
import pathlib
import shutil
import stat
import zipfile
import zlib

_CHUNK = 1024 * 1024


class UnsafeArchive(Exception):
    """The archive is broken or was refused; the message names the entry."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """`ratio` is unpacked size by packed size, judged from `ratio_floor` bytes on."""

    files: int = 100_000
    total_bytes: int = 16 * 1024**3
    ratio: int = 200
    ratio_floor: int = 64 * 1024**2


def extract(source: pathlib.Path, target: pathlib.Path, limits: Limits) -> None:
    """Unpacks a zip file into the new folder `target` and makes it read-only. Raises UnsafeArchive."""
    packed = source.stat().st_size
    most = min(limits.total_bytes, max(limits.ratio_floor, packed * limits.ratio))
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _check(entries, limits)
            target.mkdir(parents=True)
            left = most
            for entry in entries:
                left -= _write(archive, entry, target, left)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UnsafeArchive(f"the archive cannot be read: {error}") from error
    _protect(target)


def remove(folder: pathlib.Path) -> None:
    """Removes a folder that `extract` made read-only."""
    for path, names, _ in os.walk(folder):
        for name in [".", *names]:
            inner = pathlib.Path(path, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _check(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.files:
        raise UnsafeArchive(f"the archive holds {len(entries)} files, more than {limits.files}")
    for entry in entries:
        name = entry.orig_filename
        parts = pathlib.PurePosixPath(name).parts
        if not parts or "\\" in name or "\0" in name or name.startswith("/") or ".." in parts or ":" in parts[0]:
            raise UnsafeArchive(f"the archive's entry {name[:200]!r} does not stay inside the archive")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeArchive(f"the archive's entry {name[:200]!r} is neither a file nor a folder")
        if entry.flag_bits & 0x1:
            raise UnsafeArchive(f"the archive's entry {name[:200]!r} is encrypted")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: pathlib.Path, left: int) -> int:
    path = target.joinpath(*pathlib.PurePosixPath(entry.orig_filename).parts)
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return 0
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > left:
                    raise UnsafeArchive("the archive unpacks to more than is allowed for its size")
                file.write(chunk)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UnsafeArchive(f"the archive holds {entry.orig_filename[:200]!r} twice") from error
    if (entry.external_attr >> 16) & 0o100:
        path.chmod(0o555)
    return written


def _protect(folder: pathlib.Path) -> None:
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = pathlib.Path(path, name)
            file.chmod(file.stat().st_mode & 0o555)
        pathlib.Path(path).chmod(0o555)
