"""Hostile archives, made by hand."""

import io
import pathlib
import stat
import zipfile

import pytest

from services.node import archive

_LIMITS = archive.Limits(files=10, total_bytes=10_000, ratio=200, ratio_floor=5_000)


def _zip(tmp_path: pathlib.Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> pathlib.Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return path


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_a_good_archive_is_unpacked_read_only_and_can_be_removed(tmp_path: pathlib.Path) -> None:
    script = _entry("bin/run.sh", stat.S_IFREG | 0o755)
    source = _zip(tmp_path, ("predictor.py", b"x = 1"), ("models/a/b.txt", b"hi"), (script, b"#!/bin/sh"))
    target = tmp_path / "out"
    archive.extract(source, target, _LIMITS)
    assert (target / "models/a/b.txt").read_bytes() == b"hi"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*")}
    assert all(mode & 0o222 == 0 for mode in modes.values())
    assert modes["run.sh"] == 0o555
    assert modes["predictor.py"] & 0o111 == 0
    archive.remove(target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.py", "stay inside"),
        ("a/../../evil.py", "stay inside"),
        ("/etc/passwd", "stay inside"),
        ("a\\..\\evil.py", "stay inside"),
        ("C:/evil.py", "stay inside"),
    ],
)
def test_paths_that_leave_are_refused(tmp_path: pathlib.Path, name: str, words: str) -> None:
    source = _zip(tmp_path, (name, b"evil"))
    with pytest.raises(archive.UnsafeArchive, match=words):
        archive.extract(source, tmp_path / "out", _LIMITS)
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: pathlib.Path, kind: int) -> None:
    source = _zip(tmp_path, (_entry("link", kind | 0o777), b"/etc"))
    with pytest.raises(archive.UnsafeArchive, match="neither a file nor a folder"):
        archive.extract(source, tmp_path / "out", _LIMITS)


def test_bombs_are_refused_by_what_they_unpack_to(tmp_path: pathlib.Path) -> None:
    with pytest.raises(archive.UnsafeArchive, match="more than is allowed"):
        archive.extract(_zip(tmp_path, ("big", b"0" * 20_000)), tmp_path / "out", _LIMITS)
    with pytest.raises(archive.UnsafeArchive, match="more than 10"):
        archive.extract(_zip(tmp_path, *[(f"f{i}", b"") for i in range(11)]), tmp_path / "out2", _LIMITS)


def test_a_size_that_lies_is_refused(tmp_path: pathlib.Path) -> None:
    path = _zip(tmp_path, ("big", b"0" * 3_000))
    content = path.read_bytes()
    # The uncompressed size in both headers, made small.
    path.write_bytes(content.replace((3_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(archive.UnsafeArchive):
        archive.extract(path, tmp_path / "out", _LIMITS)


def test_the_same_name_twice_and_a_file_as_a_folder_are_refused(tmp_path: pathlib.Path) -> None:
    buffer = tmp_path / "a.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        _zip(tmp_path, ("a", b"1"), ("a", b"2"))
    with pytest.raises(archive.UnsafeArchive, match="twice"):
        archive.extract(buffer, tmp_path / "out", _LIMITS)
    with pytest.raises(archive.UnsafeArchive, match="twice"):
        archive.extract(_zip(tmp_path, ("a", b"1"), ("a/b", b"2")), tmp_path / "out2", _LIMITS)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + b"\0" * 100])
def test_rubbish_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(archive.UnsafeArchive, match="cannot be read"):
        archive.extract(path, tmp_path / "out", _LIMITS)


def test_a_cut_archive_is_refused(tmp_path: pathlib.Path) -> None:
    buffer = io.BytesIO(_zip(tmp_path, ("a", bytes(range(256)) * 8)).read_bytes())
    path = tmp_path / "cut.zip"
    path.write_bytes(buffer.getvalue()[:-30])
    with pytest.raises(archive.UnsafeArchive):
        archive.extract(path, tmp_path / "out", _LIMITS)
