"""The S3 API as another implementation sees it: moto, in an environment of its own under ~/.cache/cortex-test.

Slow and simple, so for correctness only: signatures are checked by botocore's own signer, pages and errors are moto's.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from runtime.models import layout
from runtime.models.catalog import Revision
from runtime.models.node_store import NodeStore
from runtime.models.s3 import S3Source
from runtime.models.sources import SourceError
from tests.runtime import replica as replicas

pytestmark = pytest.mark.timeout(300)  # the environment is built once
CACHE = pathlib.Path.home() / ".cache/cortex-test"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_REGION": "eu-west-1"}


def python() -> pathlib.Path:
    """An interpreter with moto's server and boto3."""
    folder = CACHE / f"moto-5-py3{sys.version_info[1]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            uv, part = pathlib.Path(sys.executable).with_name("uv"), CACHE / f"{folder.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, part], check=True)
            packages = ["moto[server]>=5.1,<6", "boto3[crt]"]
            subprocess.run([uv, "pip", "install", "--quiet", "--python", part / "bin/python", *packages], check=True)
            part.rename(folder)
    return folder / "bin/python"


@contextlib.contextmanager
def serving(*options: str) -> Iterator[str]:
    """Its host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(python()), "-m", "moto.server", "-p", str(port), *options]
    small_pages = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "10"}
    server = subprocess.Popen(command, env=small_pages, stderr=subprocess.DEVNULL)
    scheme = "https" if options else "http"

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{scheme}://127.0.0.1:{port}/moto-api/", verify=False).status_code == 200
        return False

    try:
        replicas.wait_for(answers, 60)
        yield f"{scheme}://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def moto() -> Iterator[dict[str, str]]:
    """The environment by which to reach it."""
    with serving() as url:
        yield {**os.environ, **KEYS, "AWS_ENDPOINT_URL": url}


def boto(environ: dict[str, str], code: str) -> Any:
    """Runs `code` with an S3 client `s3` of the official SDK; `told` is what it wants to tell."""
    head = "import boto3, json\nfrom boto3.s3.transfer import TransferConfig\ns3 = boto3.client('s3')\ntold = None\n"
    given = {**environ, "AWS_DEFAULT_REGION": environ["AWS_REGION"]}
    text = f"{head}{code}\nprint(json.dumps(told))"
    done = subprocess.run([python(), "-c", text], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MAKE = """
place = {"LocationConstraint": "eu-west-1"}
s3.create_bucket(Bucket="models", CreateBucketConfiguration=place)
for index in range(25):
    s3.put_object(Bucket="models", Key=f"many/{index:05}", Body=b"x")
s3.put_object(Bucket="models", Key="iris/", Body=b"")
s3.put_object(Bucket="models", Key="iris/1/a b+c/ü.bin", Body=b"strange names" * 100, ChecksumAlgorithm="CRC32")
s3.put_object(Bucket="models", Key="iris/1/large.bin", Body=bytes(range(256)) * 40000, ChecksumAlgorithm="CRC32C")
told = True
"""


@pytest.fixture(scope="module")
def filled(moto: dict[str, str]) -> dict[str, str]:
    boto(moto, MAKE)
    return moto


async def test_what_the_sdk_puts_arrives(tmp_path: pathlib.Path, filled: dict[str, str]) -> None:
    source = S3Source("s3://models/iris", filled)
    found = layout.versions(source.files(), "python")
    assert [file.path for file in found["1"].files] == ["a b+c/ü.bin", "large.bin"]
    store = NodeStore(tmp_path / "cache", 0, filled)
    path = pathlib.Path(
        await store.fetch(Revision("iris", "1", found["1"], source, found["1"].digest), lambda text: None)
    )
    await store.close()
    assert (path / "a b+c/ü.bin").read_bytes() == b"strange names" * 100
    assert (path / "large.bin").read_bytes() == bytes(range(256)) * 40000


CERTIFICATE = """
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store")])
now = datetime.datetime.now(datetime.timezone.utc)
made = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    .sign(key, hashes.SHA256())
)
plain = serialization.NoEncryption()
open(sys.argv[1] + "/cert.pem", "wb").write(made.public_bytes(serialization.Encoding.PEM))
open(sys.argv[1] + "/key.pem", "wb").write(
    key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
)
"""


async def test_over_tls_with_a_certificate_of_ones_own(tmp_path: pathlib.Path) -> None:
    subprocess.run([python(), "-c", CERTIFICATE, str(tmp_path)], check=True)
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    with serving("-c", certificate, "-k", key) as url:
        environ = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": url, "AWS_CA_BUNDLE": certificate}
        put = "s3.create_bucket(Bucket='box', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})"
        boto(environ, f"{put}\ns3.put_object(Bucket='box', Key='m/w', Body=b'tls' * 1000)")
        source = S3Source("s3://box/m", environ)
        content = layout.versions(source.files(), "python")["1"]
        store = NodeStore(tmp_path / "cache", 0, environ)
        path = await store.fetch(Revision("m", "1", content, source, content.digest), lambda text: None)
        await store.close()
        assert (pathlib.Path(path) / "w").read_bytes() == b"tls" * 1000
        del environ["AWS_CA_BUNDLE"]
        with pytest.raises(SourceError, match="AWS_CA_BUNDLE may name the right certificates") as caught:
            S3Source("s3://box/m", environ).files()
        assert caught.value.is_final


def test_pages_are_followed(filled: dict[str, str]) -> None:
    files = S3Source("s3://models/many", filled).files()
    assert [file.path for file in files] == [f"{index:05}" for index in range(25)]


def test_a_signature_is_that_of_the_sdk(filled: dict[str, str]) -> None:
    """For the same request at the same second, with a token and characters that are quoted in several ways."""
    import datetime

    from runtime.models import signing

    code = """
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
import botocore.auth, datetime
class Then(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return cls(2026, 11, 20, 10, 0, 0, tzinfo=tz)
    @classmethod
    def utcnow(cls): return cls(2026, 11, 20, 10, 0, 0)
botocore.auth.datetime = type("module", (), {"datetime": Then, "timezone": datetime.timezone})
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: Then(2026, 11, 20, 10, 0, 0)
url = "https://b.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC~x"
request = AWSRequest("GET", url, params={"list-type": "2", "prefix": "a b/ü"})
request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
request.headers["range"] = "bytes=0-1"
auth = S3SigV4Auth(Credentials("AKID", "secret", "token"), "s3", "eu-west-1")
auth.payload = lambda request: "UNSIGNED-PAYLOAD"
auth.add_auth(request)
told = dict(request.headers.items())
"""
    theirs = {name.lower(): value for name, value in boto(filled, code).items()}
    ours = signing.signed_headers(
        signing.Credentials("AKID", "secret", "token"),
        region="eu-west-1",
        method="GET",
        host="b.s3.eu-west-1.amazonaws.com",
        path="/" + signing.quote("a b/ü~x", "/"),
        query={"list-type": "2", "prefix": "a b/ü"},
        headers={"range": "bytes=0-1"},
        now=datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC),
    )
    assert ours["x-amz-date"] == theirs["x-amz-date"]
    assert ours["authorization"] == theirs["authorization"]
