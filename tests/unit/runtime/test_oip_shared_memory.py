"""Shared memory of callers: names within bounds, sizes checked at each use, nothing mapped."""

import os
import pathlib
import uuid
from collections.abc import Iterator

import pytest

from runtime.inference import InferError
from runtime.oip import shared_memory
from runtime.oip.shared_memory import Place, Regions


@pytest.fixture
def key() -> Iterator[str]:
    path = pathlib.Path("/dev/shm") / f"oip_{uuid.uuid4().hex}"
    path.write_bytes(bytes(range(100)))
    yield f"/{path.name}"
    path.unlink(missing_ok=True)


def path_of(key: str) -> pathlib.Path:
    return pathlib.Path("/dev/shm" + key)


def test_regions_are_read_and_written_within_their_bounds(key: str) -> None:
    regions = Regions()
    regions.register("r", key, 10, 50)
    assert regions.read(Place("r", 5, 4)) == bytes([15, 16, 17, 18])
    regions.write(Place("r", 0, 4), b"ab")
    assert path_of(key).read_bytes()[8:14] == b"\x08\x09ab\x0c\x0d"
    assert regions.status("") == regions.status("r") == [{"name": "r", "key": key, "offset": 10, "byte_size": 50}]
    for place in (Place("r", 48, 3), Place("r", 51, 0), Place("other", 0, 1)):
        with pytest.raises(InferError):
            regions.read(place)
    with pytest.raises(InferError, match="does not fit"):
        regions.write(Place("r", 0, 1), b"ab")
    regions.unregister("")
    assert regions.status("") == []


def test_an_object_that_shrinks_harms_nobody(key: str) -> None:
    regions = Regions()
    regions.register("r", key, 0, 100)
    os.truncate(path_of(key), 10)
    with pytest.raises(InferError, match="smaller"):
        regions.read(Place("r", 0, 50))
    with pytest.raises(InferError, match="smaller"):
        regions.write(Place("r", 0, 50), bytes(50))
    assert path_of(key).stat().st_size == 10
    regions.unregister("r")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "/../etc/passwd", "/oip/../x", "/cortex", "/psm_1", "", "/", "/input\0x", "/oip/x", "/input\n"],
)
def test_keys_stay_within_their_prefixes(name: str) -> None:
    with pytest.raises(InferError, match="not allowed"):
        Regions().register("r", name, 0, 1)


def test_links_folders_and_sizes_are_refused(key: str, tmp_path: pathlib.Path) -> None:
    regions = Regions()
    link = path_of(key + "_link")
    link.symlink_to("/etc/hostname")
    try:
        with pytest.raises(InferError, match="cannot open"):
            regions.register("r", key + "_link", 0, 1)
    finally:
        link.unlink()
    for offset, size in ((0, 101), (-1, 5), (0, 0), (60, 50), (2**50, 1)):
        with pytest.raises(InferError):
            regions.register("r", key, offset, size)
    with pytest.raises(InferError, match="cannot open"):
        regions.register("r", key + "_missing", 0, 1)
    regions.register("r", key, 0, 1)
    with pytest.raises(InferError, match="name of its own"):
        regions.register("r", key, 0, 1)
    regions.unregister("r")


@pytest.mark.parametrize("told", [{}, {"other": 1}])
def test_a_tensor_without_a_region_has_no_place(told: dict[str, int]) -> None:
    assert shared_memory.place("x", told) is None


@pytest.mark.parametrize("size", [None, -1, 2**50, "5", 1.5, True])
def test_places_need_sizes(size: object) -> None:
    with pytest.raises(InferError):
        shared_memory.place("x", {"shared_memory_region": "r", "shared_memory_byte_size": size})


def test_only_direct_callers_on_this_machine_may() -> None:
    shared_memory.check_caller("127.0.0.1", 0)
    shared_memory.check_caller("::1", 0)
    for host, attempt in (("127.0.0.1", 1), ("10.0.0.1", 0), ("", 0), ("unix", 0)):
        with pytest.raises(InferError) as caught:
            shared_memory.check_caller(host, attempt)
        assert caught.value.status == 403
