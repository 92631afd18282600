"""Stores that are busy, elsewhere, or no stores at all: asked again where that helps, else told with what to do."""

import os
import pathlib
import socket

import pytest

from runtime.models import layout
from runtime.models.catalog import Revision
from runtime.models.node_store import NodeStore
from runtime.models.object_http import Bucket
from runtime.models.s3 import S3Source
from runtime.models.shelf import FetchError
from runtime.models.sources import SourceError
from tests.fakes import object_store


def found(store: object_store.Store, prefix: str) -> Revision:
    source = S3Source(f"s3://bucket/{prefix}", store.environ())
    content = layout.versions(source.files(), "python")["1"]
    return Revision("m", "1", content, source, content.digest)


def node(tmp_path: pathlib.Path, store: object_store.Store) -> NodeStore:
    return NodeStore(tmp_path / "cache", 0, {**os.environ, **store.environ()})


async def fetched(made: NodeStore, wanted: Revision) -> pathlib.Path:
    try:
        return pathlib.Path(await made.fetch(wanted, lambda text: None))
    finally:
        await made.close()


def answer(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


def listing(*keys: str, size: str = "1") -> bytes:
    entries = "".join(f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>" for key in keys)
    return answer(f"<ListBucketResult>{entries}</ListBucketResult>".encode())


async def test_a_store_too_busy_to_tell_checksums_is_asked_again(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    store.put("bucket", "m/weights", b"weights")
    store.faults.refuse_heads = 2
    path = await fetched(node(tmp_path, store), found(store, "m"))
    assert (path / "weights").read_bytes() == b"weights"
    assert store.faults.refuse_heads == 0


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "a length that is none"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n", "a length that is none"),
        (answer(b"<html></html>"), "is this an object store"),
        (listing("m", size="much"), "a size that is none"),
        (listing("m//x", "m/../y", "m/./z"), "keys such as 'm//x' are no paths"),
        (answer(b"<Error><Code>ExpiredToken</Code></Error>", 400), "renew the credentials"),
        (answer(b"<Error><Code>SignatureDoesNotMatch</Code></Error>", 403), "check the AWS_. credentials"),
        (answer(b"", 307), "check AWS_REGION and AWS_ENDPOINT_URL"),
    ],
)
def test_what_is_no_listing_is_told_with_what_to_do(store: object_store.Store, sent: bytes, words: str) -> None:
    store.faults.answer = sent
    with pytest.raises(SourceError, match=words):
        S3Source("s3://bucket/m", store.environ()).files()


def test_who_gave_no_credentials_is_told_so(store: object_store.Store) -> None:
    store.faults.deny = True
    with pytest.raises(SourceError, match="there are no credentials"):
        S3Source("s3://bucket/m", {"AWS_ENDPOINT_URL": store.url}).files()


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_ENDPOINT_URL", "localhost:9000"), ("AWS_ENDPOINT_URL", "http://h:99999"), ("AWS_CA_BUNDLE", "/none.pem")],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(SourceError, match=name):
        S3Source("s3://bucket/m", {name: value})


def test_a_bucket_in_another_region_is_found_there(store: object_store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("my.bucket", "m/weights", b"weights")
    store.faults.moved_to = "eu-west-3"
    asked = []

    def connect(bucket: Bucket) -> socket.socket:
        asked.append(bucket.base.netloc)
        host, _, port = store.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)))

    monkeypatch.setattr(Bucket, "connect", connect)
    files = S3Source("s3://my.bucket/m", object_store.ENVIRON).files()
    assert [file.path for file in files] == ["weights"]
    assert asked == ["s3.us-east-1.amazonaws.com", "s3.eu-west-3.amazonaws.com"]


async def test_odd_letters_of_keys_are_kept(tmp_path: pathlib.Path, store: object_store.Store) -> None:
    names = {"a\rb", "a\nb", "c\x01d", "100% + é&?#.bin"}
    for name in names:
        store.put("bucket", f"m/{name}", b"x")
    path = await fetched(node(tmp_path, store), found(store, "m"))
    assert {each.name for each in path.iterdir()} == names


async def test_what_no_disk_can_hold_is_not_blamed_on_the_network(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    class Flat(S3Source):
        def key(self, root: str, path: str) -> str:
            return "m/weights"

    store.put("bucket", "m/weights", b"weights")
    content = layout.Content("", (layout.File("a", 7, ""), layout.File("a/b", 7, "")))
    wanted = Revision("m", "1", content, Flat("s3://bucket/m", store.environ()), content.digest)
    with pytest.raises(FetchError, match=r"cannot be kept in the model cache: /.*/a: File exists") as caught:
        await fetched(node(tmp_path, store), wanted)
    assert caught.value.status == 507
