"""Whatever is thrown at the gateway, the answer is clear, nothing hangs, and the next caller is served."""

import asyncio
import contextlib
import io
import json
import pathlib
import struct
import zipfile
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.traffic import http_client
from tests.traffic.driver import Driver, Load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def probe(cluster: Cluster) -> Cluster:
    limits = "  networking:\n    max_request_bytes: 1048576\n  predictor:"
    cluster.deploy(cluster.project("probe", **{"  predictor:": limits}))
    return cluster


async def send(address: str, raw: bytes, *, timeout: float = 20) -> bytes:
    """Writes `raw`, returns the first block of the answer; empty when the server just closed."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(raw)
        return await asyncio.wait_for(reader.read(65536), timeout)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return http_client.head(method, path, "localhost", named, len(body)) + body


JSON = {"content_type": "application/json"}
CASES = [
    ("unknown API", request("POST", "/no-such-api", b"{}", **JSON), 404, "no API is served"),
    ("root", request("GET", "/"), 404, ""),
    ("wrong method", request("PUT", "/probe", b"{}", **JSON), 405, ""),
    ("malformed JSON", request("POST", "/probe", b'{"a": ', **JSON), 400, ""),
    ("deep JSON", request("POST", "/probe", b"[" * 200_000, **JSON), 400, ""),
    ("body over the limit", request("POST", "/probe", b" " * 2_000_000, **JSON), 413, ""),
    ("a user's exception", request("POST", "/probe", b'{"raise": "secret"}', **JSON), 500, "internal server error"),
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01" * 10, 400, ""),
    ("two lengths", b"POST /probe HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400, ""),
]


@pytest.mark.parametrize(("what", "raw", "status", "words"), CASES, ids=[case[0] for case in CASES])
async def test_each_mistake_has_its_status(probe: Cluster, what: str, raw: bytes, status: int, words: str) -> None:
    answer = await send(probe.data_address, raw)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    assert words.encode() in answer and b"secret" not in answer
    good = await send(probe.data_address, request("POST", "/probe", b"{}", **JSON))
    assert good.startswith(b"HTTP/1.1 200 ")


async def test_slow_clients_and_ten_thousand_connections_do_not_hurt_others(probe: Cluster) -> None:
    host, _, port = probe.data_address.rpartition(":")
    driver = Driver(probe.data_address, "probe", Load(http=30, payload={}))
    async with contextlib.AsyncExitStack() as stack:
        writers = []
        await stack.enter_async_context(driver.running())
        driver.phase("10,000 connections")
        for number in range(10_000):
            _, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
            if number % 10 == 0:
                writer.write(b"POST /probe HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nslow")
        await asyncio.sleep(3)
        for writer in writers:
            writer.close()
    print("\n" + driver.record.table())
    assert driver.record.failed() == []


def archive(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in entries.items():
            bundle.writestr(name, data)
    return out.getvalue()


def bomb() -> bytes:
    return archive(zeros=b"\0" * 300_000_000)


def link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        info = zipfile.ZipInfo("predictor.py")
        info.external_attr = 0o120777 << 16
        bundle.writestr(info, "/etc/passwd")
    return out.getvalue()


BUNDLES = {
    "path traversal": archive(**{"../../evil.py": b"x"}),
    "absolute path": archive(**{"/etc/evil.py": b"x"}),
    "a link": link(),
    "a bomb": bomb(),
    "not a zip": b"PK\x03\x04" + b"junk" * 100,
    "a zip cut short": archive(**{"a.py": b"x" * 1000})[:-20],
}


@pytest.mark.parametrize("what", BUNDLES)
async def test_unsafe_bundles_are_refused_by_curl_too(probe: Cluster, what: str) -> None:
    raw = request("POST", "/v1/namespaces/default/bundles", BUNDLES[what], content_type="application/zip")
    answer = await send(probe.control_address, raw)
    status = int(answer.split(b" ", 2)[1])
    body = json.loads(answer.partition(b"\r\n\r\n")[2].partition(b"{")[2].join([b"{", b""]).rpartition(b"}")[0] + b"}")
    assert status == 400, answer
    assert body["details"][0]["reason"].startswith("ERROR_REASON_BUNDLE"), body
    assert not list(pathlib.Path("/").glob("evil.py")) and not list(probe.home.rglob("evil.py"))


async def test_garbage_grpc_is_refused(probe: Cluster) -> None:
    import grpc

    async with grpc.aio.insecure_channel(probe.data_address) as channel:
        call: Any = channel.unary_unary("/cortex.runtime.v1.PredictionService/Predict")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(struct.pack(">I", 0xFFFFFFFF), metadata=(("cortex-api", "probe"),), timeout=10)
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await call(b"", metadata=(("cortex-api", "no-such-api"),), timeout=10)
        assert unknown.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED)


MISTAKES = {
    "  predictor:": ("  predictr:", "predictor"),
    "type: python": ("type: pythn", "python"),
    "max_replicas: 5": ("max_replicas: five", "max_replicas"),
    "min_replicas: 1": ("min_replicas: 9", "min_replicas"),
    "path: predictor.py": ("path: missing.py", "missing.py"),
}


@pytest.mark.parametrize("old", MISTAKES)
def test_a_wrong_file_is_explained_with_its_position(probe: Cluster, old: str) -> None:
    new, words = MISTAKES[old]
    said = probe.deploy(probe.project("probe", **{"name: probe": "name: wrong", old: new}), status=1)
    assert "cortex.yaml:" in said and words in said
