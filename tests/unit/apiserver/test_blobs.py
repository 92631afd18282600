"""Blobs on a disk: nothing that was confirmed is lost, and nothing unverified becomes visible."""

import asyncio
import errno
import hashlib
import os
import pathlib

import pytest

from services.apiserver import blobs, errors

DATA = bytes(range(256)) * 10
DIGEST = hashlib.sha256(DATA).hexdigest()


def accept(_path: pathlib.Path) -> None:
    pass


def disk(folder: pathlib.Path) -> blobs.DiskBlobs:
    return blobs.DiskBlobs(folder, accept)


async def collected(store: blobs.DiskBlobs, offset: int = 0) -> bytes:
    return b"".join([part async for part in store.read(DIGEST, offset)])


async def test_an_upload_goes_on_in_another_process(tmp_path: pathlib.Path) -> None:
    assert await disk(tmp_path).append(DIGEST, 0, DATA[:1000]) == 1000
    again = disk(tmp_path)
    assert await again.committed(DIGEST) == 1000 and await again.size(DIGEST) is None
    assert await again.append(DIGEST, 1000, DATA[1000:]) == len(DATA)
    assert await again.finish(DIGEST) == len(DATA)
    assert await collected(again) == DATA and await collected(again, 2500) == DATA[2500:]
    assert (await again.size(DIGEST), await again.committed(DIGEST)) == (len(DATA), 0)


async def test_a_gap_is_refused_and_an_overlap_skipped(tmp_path: pathlib.Path) -> None:
    store = disk(tmp_path)
    await store.append(DIGEST, 0, DATA[:100])
    with pytest.raises(errors.OffsetMismatch) as caught:
        await store.append(DIGEST, 101, DATA[101:])
    assert caught.value.metadata == {"committed_bytes": "100"}
    assert await store.append(DIGEST, 50, DATA[50:200]) == 200
    assert await store.append(DIGEST, 0, DATA[:50]) == 200


async def test_two_uploads_of_one_digest_end_in_one_blob(tmp_path: pathlib.Path) -> None:
    store = disk(tmp_path)

    async def upload(step: int) -> int:
        for offset in range(0, len(DATA), step):
            await store.append(DIGEST, offset, DATA[offset : offset + step])
        return await store.finish(DIGEST)

    assert set(await asyncio.gather(upload(7), upload(100), upload(33))) == {len(DATA)}
    assert await collected(store) == DATA
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == []


async def test_other_bytes_than_announced_are_thrown_away(tmp_path: pathlib.Path) -> None:
    store = disk(tmp_path)
    await store.append(DIGEST, 0, b"something else")
    with pytest.raises(errors.BundleCorrupt, match="SHA-256"):
        await store.finish(DIGEST)
    assert (await store.size(DIGEST), await store.committed(DIGEST)) == (None, 0)


async def test_what_the_check_refuses_never_becomes_visible(tmp_path: pathlib.Path) -> None:
    def refuse(_path: pathlib.Path) -> None:
        raise errors.BundleUnsafe("no")

    store = blobs.DiskBlobs(tmp_path, refuse)
    await store.append(DIGEST, 0, DATA)
    with pytest.raises(errors.BundleUnsafe):
        await store.finish(DIGEST)
    assert await store.size(DIGEST) is None


async def test_a_full_disk_keeps_what_was_confirmed(tmp_path: pathlib.Path) -> None:
    room = [1500]

    def write(handle: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = os.write(handle, data[: room[0]])
        room[0] -= count
        return count

    store = blobs.DiskBlobs(tmp_path, accept, write=write)
    await store.append(DIGEST, 0, DATA[:1000])
    with pytest.raises(errors.DiskFull) as caught:
        await store.append(DIGEST, 1000, DATA[1000:])
    assert caught.value.reason == "DISK_FULL"
    assert await store.committed(DIGEST) == 1000, "half a chunk is not counted"
    room[0] = 10_000
    await store.append(DIGEST, 1000, DATA[1000:])
    assert await store.finish(DIGEST) == len(DATA)


async def test_uploads_that_nobody_goes_on_with_are_swept(tmp_path: pathlib.Path) -> None:
    store = disk(tmp_path)
    await store.append(DIGEST, 0, DATA)
    written = (tmp_path / "uploads" / f"{DIGEST}.part").stat().st_mtime
    await store.sweep(written - 1)
    assert await store.committed(DIGEST) == len(DATA)
    await store.sweep(written + 1)
    assert await store.committed(DIGEST) == 0


async def test_what_is_missing_is_not_found(tmp_path: pathlib.Path) -> None:
    store = disk(tmp_path)
    with pytest.raises(errors.NotFound):
        await collected(store)
    with pytest.raises(errors.NotFound):
        await store.created(DIGEST)
    with pytest.raises(errors.OffsetMismatch):
        await store.finish(DIGEST)
