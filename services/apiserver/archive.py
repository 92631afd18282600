"""What a bundle may hold: a zip that can be unpacked anywhere without harm. Every refusal names the entry.

Only the archive's index is read, so a check costs milliseconds whatever the size. Sizes in an index can lie; whoever
unpacks stops at the announced size (the node does), so a lie costs its author a failed deploy and nobody a disk.
"""

import pathlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

from services.apiserver import errors
from services.apiserver.errors import Violation

MOST_FILES = 20_000
MOST_UNPACKED_BYTES = 2 * 1024**3
LONGEST_NAME_BYTES = 1024
# Deflate reaches 1032 at best, on zeros; source and weights stay below 20. Small entries may be as empty as they like.
MOST_RATIO = 200
_RATIO_FREE_BYTES = 64 * 1024**2
_END_BYTES = 22 + 65_535
_END_MARK = b"PK\x05\x06"
_MOST_INDEX_BYTES = 64 * 1024**2
_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def check(path: pathlib.Path) -> None:
    """Raises BundleCorrupt or BundleUnsafe."""
    entries = _entries(path)
    if len(entries) > MOST_FILES:
        raise _corrupt(
            f"it holds {len(entries)} files, at most {MOST_FILES} are allowed; list what can go in .cortexignore"
        )
    seen: dict[str, str] = {}
    for entry in entries:
        _check_name(entry)
        _check_kind(entry)
        _check_clash(entry, seen)
    _check_sizes(entries, path.stat().st_size)


def files(path: pathlib.Path) -> frozenset[str]:
    """Paths of the files inside, folders left out."""
    return frozenset(entry.filename for entry in _entries(path) if not entry.is_dir())


def _entries(path: pathlib.Path) -> list[zipfile.ZipInfo]:
    _check_index_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        ValueError,
        EOFError,
        OverflowError,
        struct.error,
        zlib.error,
    ) as error:
        raise _corrupt(f"it is not a readable zip archive ({error})") from error
    except NotImplementedError as error:
        raise _corrupt(f"it uses a part of the zip format that is not supported ({error})") from error


def _check_index_size(path: pathlib.Path) -> None:
    """The index is read into memory: its announced size is looked at first."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        tail = file.read()
    place = tail.rfind(_END_MARK)
    if place >= 0 and len(tail) >= place + 16:
        size = struct.unpack("<L", tail[place + 12 : place + 16])[0]
        if size > _MOST_INDEX_BYTES:
            raise _corrupt(f"its index announces {size} bytes")


def _check_name(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    if "\0" in name or "\\" in name or any(ord(letter) < 32 for letter in name):
        raise _unsafe(name, "has a control character or a backslash in its name")
    if not entry.flag_bits & _UTF8 and not name.isascii():
        raise _unsafe(name, "has a name that is not marked as UTF-8")
    if len(name.encode(errors="surrogatepass")) > LONGEST_NAME_BYTES:
        raise _unsafe(name, f"has a name of more than {LONGEST_NAME_BYTES} bytes")
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts) or parts[0].endswith(":"):
        raise _unsafe(name, "leads outside the bundle or is not a plain relative path")


def _check_kind(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise _corrupt(f"its entry {_shown(entry.filename)} is encrypted")
    if entry.compress_type not in _METHODS:
        raise _corrupt(f"its entry {_shown(entry.filename)} is packed by method {entry.compress_type}; use deflate")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a device, socket or pipe"
        raise _unsafe(entry.filename, f"is {what}; bundles hold files and folders only")


def _check_clash(entry: zipfile.ZipInfo, seen: dict[str, str]) -> None:
    """One path, one entry; and no file where another entry needs a folder."""
    name = entry.filename.removesuffix("/")
    if name in seen and not (entry.is_dir() and seen[name] == "folder"):
        raise _unsafe(entry.filename, "is there twice")
    seen[name] = "folder" if entry.is_dir() else "file"
    parts = name.split("/")
    for length in range(1, len(parts)):
        folder = "/".join(parts[:length])
        if seen.setdefault(folder, "folder") == "file":
            raise _unsafe(entry.filename, f"lies below {_shown(folder)}, which is a file")


def _check_sizes(entries: Iterable[zipfile.ZipInfo], archive_bytes: int) -> None:
    unpacked = packed = 0
    for entry in entries:
        if entry.file_size > _RATIO_FREE_BYTES and entry.file_size > MOST_RATIO * max(1, entry.compress_size):
            raise _corrupt(f"its entry {_shown(entry.filename)} unpacks to more than {MOST_RATIO} times its size")
        unpacked += entry.file_size
        packed += entry.compress_size
    if unpacked > MOST_UNPACKED_BYTES:
        raise _too_large(unpacked)
    # Entries that share their bytes unpack to far more than the archive could hold.
    if packed > archive_bytes or (unpacked > _RATIO_FREE_BYTES and unpacked > MOST_RATIO * archive_bytes):
        raise _corrupt(f"it unpacks to {unpacked} bytes from {archive_bytes}")


def _too_large(unpacked: int) -> errors.BundleTooLarge:
    limit = MOST_UNPACKED_BYTES
    return errors.BundleTooLarge(
        f"the bundle unpacks to {unpacked} bytes, at most {limit} are allowed; keep models out of it, or list what can "
        "go in .cortexignore",
        metadata={"limit_bytes": str(limit)},
        violations=[Violation("bundle", f"unpacks to {unpacked} bytes, limit {limit}")],
    )


def _corrupt(why: str, metadata: Mapping[str, str] | None = None) -> errors.BundleCorrupt:
    return errors.BundleCorrupt(f"the bundle is refused: {why}", metadata=metadata)


def _unsafe(name: str, why: str) -> errors.BundleUnsafe:
    return errors.BundleUnsafe(
        f"the bundle is refused: its entry {_shown(name)} {why}", metadata={"entry": _shown(name)}
    )


def _shown(name: str) -> str:
    return repr(name[:200])
