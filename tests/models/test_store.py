"""Models that come from an object store: into one cache per machine, whole or not at all, whatever happens."""

import asyncio
import os
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from runtime.models import cache as caches
from runtime.models import declaration, layout
from runtime.models.catalog import Revision
from runtime.models.node_store import NodeStore
from runtime.models.repository import Repository
from runtime.models.s3 import S3Source
from runtime.models.shelf import FetchError
from runtime.models.sources import SourceError
from tests.fakes import object_store
from tests.runtime import replica as replicas

MIB = 1 << 20


def put(store: object_store.Store, key: str, size: int, seed: int = 0) -> bytes:
    data = random.Random(f"{key}{seed}").randbytes(size)
    store.put("bucket", key, data)
    return data


Node = Callable[..., NodeStore]


@pytest.fixture
async def node(tmp_path: pathlib.Path, store: object_store.Store) -> AsyncIterator[Node]:
    """Makes what a replica has; all share the machine's cache."""
    made = []

    def make(budget: int = 0) -> NodeStore:
        made.append(NodeStore(tmp_path / "cache", budget, {**os.environ, **store.environ()}))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def revision(store: object_store.Store, prefix: str) -> Revision:
    source = S3Source(f"s3://bucket/{prefix}", store.environ())
    content = layout.versions(source.files(), "python")["1"]
    return Revision(prefix, "1", content, source, content.digest)


async def fetch(made: NodeStore, wanted: Revision) -> pathlib.Path:
    return pathlib.Path(await made.fetch(wanted, lambda text: None))


def blobs(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in (tmp_path / "cache" / "blobs").iterdir() if path.suffix != ".json"]


async def test_a_folder_arrives_whole_read_only_and_under_its_names(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    large, small = put(store, "m/weights.bin", 20 * MIB + 17), put(store, "m/sub/vocab.txt", 100)
    empty = put(store, "m/empty", 0)
    made = node()
    path = await fetch(made, revision(store, "m"))
    assert (path / "weights.bin").read_bytes() == large
    assert (path / "sub/vocab.txt").read_bytes() == small and (path / "empty").read_bytes() == empty
    assert (path / "weights.bin").stat().st_mode & 0o222 == 0
    assert sorted(each.name for each in path.iterdir()) == ["empty", "sub", "weights.bin"]
    assert store.parts == 4  # 8 + 8 + 4 MiB, and the small one
    assert store.seen_authorization == {"AWS4-HMAC-SHA256"}


async def test_the_second_time_nothing_is_asked_of_the_store(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    put(store, "m/weights.bin", MIB)
    wanted = revision(store, "m")
    first = await fetch(node(), wanted)
    sent = store.parts
    again = await fetch(node(), revision(store, "m"))
    assert again == first and store.parts == sent


async def test_a_location_that_is_one_object_is_one_file(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/model.onnx", 1000)
    put(store, "m/model.onnx.data", 1000)
    path = await fetch(node(), revision(store, "m/model.onnx"))
    assert path.name == "model.onnx" and path.read_bytes() == data


async def test_connections_that_break_and_a_busy_store_are_lived_with(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/weights.bin", 24 * MIB)
    store.faults.cut, store.faults.refuse = 3, 2
    path = await fetch(node(), revision(store, "m"))
    assert (path / "weights.bin").read_bytes() == data
    assert store.faults.cut == 0 and store.faults.refuse == 0


async def test_what_was_damaged_on_the_way_is_fetched_again(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/weights.bin", 12 * MIB)
    store.faults.corrupt = 1
    path = await fetch(node(), revision(store, "m"))
    assert (path / "weights.bin").read_bytes() == data


async def test_what_is_damaged_each_time_is_never_served(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    put(store, "m/weights.bin", 12 * MIB)
    store.faults.corrupt = 1000
    with pytest.raises(FetchError, match="does not match the crc64nvme"):
        await fetch(node(), revision(store, "m"))
    assert blobs(tmp_path) == []


async def test_an_object_that_changes_on_the_way_is_not_mixed(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    put(store, "m/weights.bin", 12 * MIB)
    wanted = revision(store, "m")
    put(store, "m/weights.bin", 12 * MIB, seed=1)
    with pytest.raises(FetchError, match="PreconditionFailed"):
        await fetch(node(), wanted)


async def test_several_replicas_fetch_once(tmp_path: pathlib.Path, store: object_store.Store, node: Node) -> None:
    put(store, "m/weights.bin", 24 * MIB)
    store.faults.pause = 0.2
    shown: list[str] = []
    made = [node() for _ in range(3)]
    paths = await asyncio.gather(*(each.fetch(revision(store, "m"), shown.append) for each in made))
    assert len(set(paths)) == 1 and store.parts == 3
    assert any("fetched by another replica" in text for text in shown)


async def test_a_killed_fetch_goes_on_where_it_was(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/weights.bin", 64 * MIB)
    store.faults.rate = 20 * MIB
    task = asyncio.ensure_future(fetch(node(), revision(store, "m")))
    journal = caches_journal(tmp_path)
    while len(journal()) < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.to_thread(replicas.wait_for, lambda: not store.connections)
    before, done = store.parts, len(journal()) - 1
    store.faults.rate = 0
    path = await fetch(node(), revision(store, "m"))
    assert (path / "weights.bin").read_bytes() == data
    assert store.parts - before == 8 - done < 8


def caches_journal(tmp_path: pathlib.Path) -> Callable[[], list[str]]:
    def read() -> list[str]:
        found = list((tmp_path / "cache" / "partial").glob("*.journal"))
        return found[0].read_text().splitlines() if found else []

    return read


async def test_parts_from_before_a_reboot_are_read_again(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/weights.bin", 24 * MIB)
    wanted = revision(store, "m")
    from runtime.models import partial

    blob = tmp_path / "blob"
    first = partial.Partial(blob, len(data), "crc64nvme", "boot-1")
    for part in first.parts[:2]:
        piece = memoryview(data)[part.offset : part.offset + part.size]
        first.write(piece, part.offset)
        first.finish(part, first.add(piece, 0))
    first.close()
    with blob.open("r+b") as file:
        file.write(b"lost with the power")
    assert sorted(partial.Partial(blob, len(data), "crc64nvme", "boot-1").done) == [0, 1]
    assert sorted(partial.Partial(blob, len(data), "crc64nvme", "boot-2").done) == [1]
    assert wanted.bytes == len(data)


async def test_files_that_were_touched_are_fetched_anew(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    data = put(store, "m/weights.bin", 1000)
    path = await fetch(node(), revision(store, "m")) / "weights.bin"
    path.chmod(0o644)
    path.write_bytes(b"x" * 1000)
    assert (await fetch(node(), revision(store, "m")) / "weights.bin").read_bytes() == data


async def test_a_full_cache_drops_the_longest_unused_that_nobody_holds(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    for name in ("a", "b", "c"):
        put(store, f"{name}/w", 40_000)
    holder, other = node(100_000), node(100_000)
    held, idle = revision(store, "a"), revision(store, "b")
    kept = await fetch(holder, held)
    gone = await fetch(other, idle)
    pin = other._pins.pop(idle)[1]
    pin.release()
    third = await fetch(other, revision(store, "c"))
    assert kept.exists() and third.exists() and not gone.exists()


async def test_no_room_is_told_in_bytes(tmp_path: pathlib.Path, store: object_store.Store, node: Node) -> None:
    put(store, "m/w", 200_000)
    with pytest.raises(FetchError, match="200000 bytes are needed, 100000 are left of the 100000") as caught:
        await fetch(node(100_000), revision(store, "m"))
    assert caught.value.status == 507


async def test_a_disk_limit_of_the_replica_unloads_what_is_idle(
    tmp_path: pathlib.Path, store: object_store.Store, node: Node
) -> None:
    for name in ("a", "b", "c"):
        put(store, f"models/{name}/w", 1000)
    declared = declaration.read({"dir": "s3://bucket/models", "disk_cache_size": 2})
    source = S3Source("s3://bucket/models", store.environ())
    made = Repository(declared, kind="python", opened={"": source}, store=node(), say=lambda *_: None)
    await made.start()
    a, b = await made.resolve("a"), await made.resolve("b")
    made.release(b)
    await made.resolve("c")
    assert pathlib.Path(a.path).exists()
    await asyncio.to_thread(replicas.wait_for, lambda: not pathlib.Path(b.path).exists())
    assert [entry.state for entry in made.catalog.index()] == ["READY", "UNAVAILABLE", "READY"]


@pytest.mark.parametrize(
    ("url", "deny", "words"),
    [
        ("s3://bucket/none", False, "nothing is at s3://bucket/none"),
        ("s3://other/m", False, "NoSuchBucket"),
        ("s3://bucket/m", True, "s3:GetObject and s3:ListBucket"),
    ],
)
def test_what_is_wrong_with_a_source_is_told(store: object_store.Store, url: str, deny: bool, words: str) -> None:
    put(store, "m/w", 10)
    store.faults.deny = deny
    with pytest.raises(SourceError, match=words) as caught:
        S3Source(url, store.environ()).files()
    assert caught.value.is_final


def test_more_files_than_a_page(store: object_store.Store) -> None:
    for index in range(1005):
        store.put("bucket", f"m/{index:04}", b"x")
    store.put("bucket", "m-other/1", b"x")
    files = S3Source("s3://bucket/m", store.environ()).files()
    assert [file.path for file in files] == [f"{index:04}" for index in range(1005)]


def test_a_pin_ends_with_its_process(tmp_path: pathlib.Path) -> None:
    cache = caches.Cache(tmp_path / "cache", 0)
    code = (
        "import pathlib, sys, time; from runtime.models import cache;"
        "held = cache.Cache(pathlib.Path(sys.argv[1]), 0).pin('t'); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(cache.root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert not cache.drop("t")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert cache.drop("t")
