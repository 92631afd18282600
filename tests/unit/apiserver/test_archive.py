"""Archives that may be unpacked anywhere, and those that must not."""

import io
import pathlib
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest

from services.apiserver import archive, errors

Build = Callable[[zipfile.ZipFile], None]


def written(folder: pathlib.Path, build: Build) -> pathlib.Path:
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        build(made)
    return path


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def test_a_project_is_accepted(tmp_path: pathlib.Path) -> None:
    def build(made: zipfile.ZipFile) -> None:
        made.writestr("predictor.py", "pass")
        made.writestr(entry("src/", stat.S_IFDIR | 0o755), "")
        made.writestr(entry("src/módulo ø.py", stat.S_IFREG | 0o644), "pass")
        made.writestr("zeros.bin", bytes(60 * 1024**2))

    path = written(tmp_path, build)
    archive.check(path)
    assert archive.files(path) == {"predictor.py", "src/módulo ø.py", "zeros.bin"}


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up.py", "a/../../up.py", "a//b", "./a.py", "a/.", "C:/x", "a\\..\\b", "line\nfeed", "x" * 1100],
)
def test_paths_that_lead_elsewhere_are_refused_by_name(tmp_path: pathlib.Path, name: str) -> None:
    path = written(tmp_path, lambda made: made.writestr(name, ""))
    with pytest.raises(errors.BundleUnsafe) as caught:
        archive.check(path)
    assert caught.value.metadata["entry"] == repr(name[:200])


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: pathlib.Path, mode: int) -> None:
    path = written(tmp_path, lambda made: made.writestr(entry("it", mode | 0o644), "/etc/passwd"))
    with pytest.raises(errors.BundleUnsafe, match="'it'"):
        archive.check(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a.py", "a.py"), ("a", "a/b"), ("a/b", "a"), ("a", "a/")])
def test_entries_that_clash_are_refused(tmp_path: pathlib.Path, names: tuple[str, ...]) -> None:
    def build(made: zipfile.ZipFile) -> None:
        for name in names:
            made.writestr(name, "")

    with pytest.raises(errors.BundleUnsafe):
        archive.check(written(tmp_path, build))


def test_too_many_files_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 3)

    def build(made: zipfile.ZipFile) -> None:
        for number in range(4):
            made.writestr(f"{number}", "")

    path = written(tmp_path, build)
    with pytest.raises(errors.BundleCorrupt, match="4 files"):
        archive.check(path)


def test_a_bomb_is_refused(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, lambda made: made.writestr("zeros", bytes(80 * 1024**2)))
    with pytest.raises(errors.BundleCorrupt, match="'zeros' unpacks to more than 200 times"):
        archive.check(path)


def test_what_unpacks_to_more_than_fits_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(errors.BundleTooLarge):
        archive.check(written(tmp_path, lambda made: made.writestr("a", bytes(1001))))


def patched(path: pathlib.Path, mark: bytes, offset: int, value: bytes) -> pathlib.Path:
    """Overwrites bytes behind the last `mark` of the file."""
    data = bytearray(path.read_bytes())
    place = data.rfind(mark) + offset
    data[place : place + len(value)] = value
    path.write_bytes(data)
    return path


def test_encrypted_and_oddly_packed_entries_are_refused(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, lambda made: made.writestr("secret", "x"))
    with pytest.raises(errors.BundleCorrupt, match="'secret' is encrypted"):
        archive.check(patched(path, b"PK\x01\x02", 8, struct.pack("<H", 1)))
    path = written(tmp_path, lambda made: made.writestr("packed", "x"))
    with pytest.raises(errors.BundleCorrupt, match="method 99"):
        archive.check(patched(path, b"PK\x01\x02", 10, struct.pack("<H", 99)))


def test_entries_that_share_bytes_are_refused(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, lambda made: made.writestr("a", bytes(1000)))
    with pytest.raises(errors.BundleCorrupt, match="unpacks to"):
        archive.check(patched(path, b"PK\x01\x02", 20, struct.pack("<L", 10**6)))


def test_names_must_be_utf8(tmp_path: pathlib.Path) -> None:
    path = written(tmp_path, lambda made: made.writestr("aaaa", ""))
    with pytest.raises(errors.BundleUnsafe, match="UTF-8"):
        archive.check(patched(path, b"PK\x01\x02", 46, b"\xe9\xe9\xe9\xe9"))
    path = written(tmp_path, lambda made: made.writestr("éé", ""))
    with pytest.raises(errors.BundleCorrupt):
        archive.check(patched(path, b"PK\x01\x02", 46, b"\xff\xff\xff\xff"))


def test_noise_and_halves_are_refused(tmp_path: pathlib.Path) -> None:
    whole = written(tmp_path, lambda made: made.writestr("a", "x" * 1000)).read_bytes()
    for data in (b"", b"no zip at all", whole[: len(whole) // 2], whole[:-10], b"\x00" * 70_000):
        path = tmp_path / "noise.zip"
        path.write_bytes(data)
        with pytest.raises(errors.BundleCorrupt):
            archive.check(path)
    lying = patched(tmp_path / "bundle.zip", b"PK\x05\x06", 12, struct.pack("<L", 2**31))
    with pytest.raises(errors.BundleCorrupt, match="index announces"):
        archive.check(lying)


def test_an_empty_archive_is_a_bundle_without_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "empty.zip"
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    path.write_bytes(buffer.getvalue())
    archive.check(path)
    assert archive.files(path) == frozenset()
