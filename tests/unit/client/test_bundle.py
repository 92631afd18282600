"""The archive: the same bytes for the same files, the right files, and refusals that help."""

import os
import pathlib
import zipfile

import pytest

from cortex_client.project import bundle, errors, files


def names(folder: pathlib.Path, exclude: pathlib.Path | None = None) -> list[str]:
    return [file.name for file in files.collect(folder, exclude)]


def write(folder: pathlib.Path, *paths: str) -> None:
    for path in paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"content of {path}")


def test_the_same_files_make_the_same_bytes(tmp_path: pathlib.Path) -> None:
    for folder, order in (("a", ("x.py", "lib/y.py")), ("b", ("lib/y.py", "x.py"))):
        write(tmp_path / folder, *order)
    os.utime(tmp_path / "b" / "x.py", (1, 1))
    with bundle.build(tmp_path / "a") as first, bundle.build(tmp_path / "b") as second:
        assert first.digest == second.digest
        assert first.archive.read() == second.archive.read()
        assert len(first.id) == 64


def test_a_changed_byte_or_name_changes_the_digest(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "x.py")
    with bundle.build(tmp_path) as before:
        (tmp_path / "x.py").write_text("other")
        with bundle.build(tmp_path) as changed:
            (tmp_path / "x.py").rename(tmp_path / "y.py")
            with bundle.build(tmp_path) as renamed:
                assert len({before.digest, changed.digest, renamed.digest}) == 3


def test_what_stays_behind(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "cortex.yaml", "other.yaml", "p.py", ".env", ".secret", ".git/HEAD", "__pycache__/p.pyc", "m.pyc")
    write(tmp_path, "venv/pyvenv.cfg", "venv/lib/x.py", "conda/conda-meta/h", "data/big.bin", "data/keep.bin", "logs/a")
    (tmp_path / ".cortexignore").write_text("# comment\ndata/*\n!data/keep.bin\n/logs/\n")
    assert names(tmp_path, tmp_path / "cortex.yaml") == [".env", "data/keep.bin", "other.yaml", "p.py"]


def test_the_archive_holds_the_files(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "p.py", "lib/y.py")
    (tmp_path / "p.py").chmod(0o755)
    with bundle.build(tmp_path) as made, zipfile.ZipFile(made.archive) as archive:
        assert archive.namelist() == ["lib/y.py", "p.py"]
        assert archive.read("lib/y.py") == b"content of lib/y.py"
        assert archive.getinfo("p.py").external_attr >> 16 == 0o755
        assert archive.getinfo("p.py").date_time == (1980, 1, 1, 0, 0, 0)
        assert (made.file_count, made.size) == (2, made.archive.seek(0, 2))


def test_links_inside_are_followed(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "real/a.py")
    (tmp_path / "link.py").symlink_to("real/a.py")
    (tmp_path / "folder").symlink_to("real", target_is_directory=True)
    (tmp_path / "real" / "loop").symlink_to("..", target_is_directory=True)
    assert {"folder/a.py", "link.py", "real/a.py"} <= set(names(tmp_path))
    assert len(names(tmp_path)) < 20


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "/nowhere/at/all"])
def test_links_outside_are_refused(tmp_path: pathlib.Path, target: str) -> None:
    project = tmp_path / "project"
    write(tmp_path, "outside", "project/p.py")
    (project / "link").symlink_to(target)
    with pytest.raises(errors.BundleInvalid, match=r"link is a link to .*, outside the project") as caught:
        bundle.build(project)
    assert ".cortexignore" in caught.value.hint


def test_an_ignored_link_is_no_problem(tmp_path: pathlib.Path) -> None:
    write(tmp_path, "p.py")
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / ".cortexignore").write_text("link\n")
    assert names(tmp_path) == ["p.py"]


def test_a_broken_link_and_a_pipe_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "gone").symlink_to("missing")
    with pytest.raises(errors.BundleInvalid, match="does not exist"):
        files.collect(tmp_path)
    (tmp_path / "gone").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.BundleInvalid, match="not a regular file"):
        files.collect(tmp_path)


def test_too_much_is_refused_with_the_largest_files(tmp_path: pathlib.Path) -> None:
    for name, size in (("weights.bin", 400), ("more.bin", 200), ("small.py", 0)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size * 1024 * 1024)
    with pytest.raises(errors.BundleInvalid) as caught:
        bundle.build(tmp_path)
    lines = caught.value.message.splitlines()
    assert "holds 600.0 MiB, more than 512.0 MiB" in lines[0]
    assert lines[1].split() == ["400.0", "MiB", "weights.bin"]


def test_no_folder_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BundleInvalid, match="is not a folder"):
        bundle.build(tmp_path / "missing")
