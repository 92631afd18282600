"""BundleService over a real connection: uploads in one piece, in many, broken and resumed, and refused early."""

import pathlib
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from cortex.apiserver.v1 import bundle_service_pb2 as pb
from cortex.apiserver.v1 import gateway_service_pb2 as gateway_pb
from services.apiserver.xds import status as xds_status
from tests.fakes import apiserver as fakes
from tests.fakes.apiserver import Apiserver, archive_of, hex_digest, refused

DATA = archive_of({"predictor.py": random.Random(7).randbytes(3_000_000).hex()})
NAME = f"namespaces/default/bundles/{hex_digest(DATA)}"
CHUNK = 500_000


@pytest.fixture
async def api(tmp_path: pathlib.Path) -> AsyncIterator[Apiserver]:
    async with fakes.running(tmp_path, max_bundle_bytes=len(DATA)) as running:
        yield running


def chunks(start: int = 0, end: int = len(DATA), *, data: bytes = DATA, name: str = NAME) -> Iterator[Any]:
    for offset in range(start, end, CHUNK):
        piece = data[offset : min(offset + CHUNK, end)]
        yield pb.UploadBundleRequest(name=name, size_bytes=len(data), offset=offset, data=piece)


async def download(api: Apiserver, offset: int = 0) -> bytes:
    parts = [part async for part in api.bundles.DownloadBundle(pb.DownloadBundleRequest(name=NAME, offset=offset))]
    assert {part.size_bytes for part in parts} == {len(DATA)}
    assert [part.offset for part in parts] == [offset + sum(len(p.data) for p in parts[:i]) for i in range(len(parts))]
    return b"".join(part.data for part in parts)


async def test_chunks_become_a_bundle(api: Apiserver) -> None:
    assert (await refused(api.bundles.GetBundle(pb.GetBundleRequest(name=NAME)))).reason == "NOT_FOUND"
    bundle = await api.bundles.UploadBundle(chunks())
    assert (bundle.name, bundle.size_bytes, bundle.file_count) == (NAME, len(DATA), 1)
    assert bundle.digest == f"sha256:{hex_digest(DATA)}" and bundle.HasField("create_time")
    assert await api.bundles.GetBundle(pb.GetBundleRequest(name=NAME)) == bundle
    assert await download(api) == DATA and await download(api, 1_234_567) == DATA[1_234_567:]
    assert await download(api, len(DATA)) == b""
    assert await api.bundles.UploadBundle(chunks()) == bundle, "what is there is not sent twice"


async def test_a_broken_upload_goes_on(api: Apiserver) -> None:
    broken = await refused(api.bundles.UploadBundle(chunks(end=2 * CHUNK)))
    assert (broken.code, broken.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_OFFSET_MISMATCH")
    held = await api.bundles.GetUpload(pb.GetUploadRequest(name=NAME))
    assert (held.committed_bytes, held.done) == (2 * CHUNK, False)
    wrong = await refused(api.bundles.UploadBundle(chunks()))
    assert wrong.metadata == {"committed_bytes": str(2 * CHUNK)}
    bundle = await api.bundles.UploadBundle(chunks(2 * CHUNK))
    assert bundle.size_bytes == len(DATA)
    assert (await api.bundles.GetUpload(pb.GetUploadRequest(name=NAME))).done


async def test_too_much_is_refused_before_a_byte_is_kept(api: Apiserver) -> None:
    large = pb.UploadBundleRequest(name=NAME, size_bytes=len(DATA) + 1, data=b"x")
    error = await refused(api.bundles.UploadBundle(iter([large])))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUNDLE_TOO_LARGE")
    assert error.metadata["limit_bytes"] == str(len(DATA))
    assert (await api.bundles.GetUpload(pb.GetUploadRequest(name=NAME))).committed_bytes == 0
    inline = pb.CreateBundleRequest(parent="namespaces/default", archive={"data": bytes(4 * 1024**2 + 1)})
    assert (await refused(api.bundles.CreateBundle(inline))).reason == "BUNDLE_TOO_LARGE"


async def test_four_mebibytes_fit_in_one_call(api: Apiserver) -> None:
    inline = pb.CreateBundleRequest(parent="namespaces/default", archive={"data": bytes(4 * 1024**2)})
    assert (await refused(api.bundles.CreateBundle(inline))).reason == "BUNDLE_CORRUPT", "too large was not the word"


async def test_wrong_bytes_and_wrong_words_are_refused(api: Apiserver) -> None:
    other = archive_of({"a": "b"})
    lying = await refused(api.bundles.UploadBundle(chunks(data=other, end=len(other))))
    assert (lying.code, lying.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BUNDLE_CORRUPT")
    evil = archive_of({"../up": "x"})
    named = f"namespaces/default/bundles/{hex_digest(evil)}"
    unsafe = await refused(api.bundles.UploadBundle(chunks(data=evil, end=len(evil), name=named)))
    assert (unsafe.reason, unsafe.metadata) == ("BUNDLE_UNSAFE_PATH", {"entry": "'../up'"})
    beyond = pb.UploadBundleRequest(name=NAME, size_bytes=10, data=b"x" * 11)
    assert "offset" in (await refused(api.bundles.UploadBundle(iter([beyond])))).fields
    fat = pb.UploadBundleRequest(name=NAME, size_bytes=len(DATA), data=bytes(1024**2 + 1))
    assert "data" in (await refused(api.bundles.UploadBundle(iter([fat])))).fields
    assert (await refused(api.bundles.UploadBundle(iter([])))).fields.keys() == {"name"}
    short = pb.GetBundleRequest(name="namespaces/default/bundles/abc")
    assert (await refused(api.bundles.GetBundle(short))).reason == "INVALID_NAME"
    past = pb.DownloadBundleRequest(name=NAME, offset=len(DATA) + 1)
    await api.bundles.UploadBundle(chunks())
    assert "offset" in (await refused(api.bundles.DownloadBundle(past))).fields


async def test_gateways_are_listed_by_name(api: Apiserver) -> None:
    resource = xds_status.ResourceStatus("ROUTE", "v2", "v1", "bad route", 5.0, 6.0)
    for node in ("b", "a"):
        api.statuses_of_gateways.append(xds_status.GatewayStatus(node, True, 1.0, "envoy/1", (resource,), False))
    first = await api.gateways.ListGateways(gateway_pb.ListGatewaysRequest(page_size=1))
    assert [gateway.name for gateway in first.gateways] == ["gateways/a"]
    shown = first.gateways[0].resources[0]
    assert (shown.type, shown.sent_version, shown.error, shown.nack_time.seconds) == ("ROUTE", "v2", "bad route", 6)
    request = gateway_pb.ListGatewaysRequest(page_size=1, page_token=first.next_page_token)
    rest = await api.gateways.ListGateways(request)
    assert [gateway.name for gateway in rest.gateways] == ["gateways/b"] and not rest.next_page_token
