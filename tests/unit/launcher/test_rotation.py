"""The gateway's logs stay below their cap, one earlier file is kept, and a gateway that is away loses nothing."""

import pathlib

import pytest

from services.launcher import rotation


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({}, []), ({"a": 10}, []), ({"a": 11}, ["a"]), ({"b": 99, "a": 11, "c": 0}, ["a", "b"])],
)
def test_what_is_due(sizes: dict[str, int], found: list[str]) -> None:
    by_path = {pathlib.Path(name): size for name, size in sizes.items()}
    assert rotation.due(by_path, most=10) == [pathlib.Path(name) for name in found]


def test_a_large_log_is_moved_aside_and_opened_anew(tmp_path: pathlib.Path) -> None:
    large, small, earlier = (tmp_path / name for name in ("access.log", "control.log", "access.log.1"))
    large.write_text("x" * 11)
    small.write_text("y")
    earlier.write_text("older")
    told = []

    def reopen() -> bool:
        told.append(large.exists())
        large.touch()
        return True

    rotation.rotate(tmp_path, reopen, most=10)
    assert (told, earlier.read_text(), large.read_text(), small.read_text()) == ([False], "x" * 11, "", "y")
    rotation.rotate(tmp_path, reopen, most=10)
    assert told == [False]


def test_a_gateway_that_is_away_keeps_its_log(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("x" * 11)
    rotation.rotate(tmp_path, lambda: rotation.reopen_logs(str(tmp_path / "none.sock")), most=10)
    assert log.read_text() == "x" * 11 and not (tmp_path / "access.log.1").exists()
