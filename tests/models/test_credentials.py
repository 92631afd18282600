"""Who we are to an object store, by the sources that every AWS SDK has."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Mapping

import pytest

from runtime.models.credentials import Provider
from runtime.models.s3 import S3Source
from runtime.models.sources import SourceError
from tests.fakes import object_store

ASK = """
import json, os
from runtime.models.credentials import Provider
found = Provider(os.environ).get()
print(json.dumps([found.access_key, found.secret_key, found.session_token]))
"""


def asked(environ: Mapping[str, str]) -> list[str]:
    """In a process of its own: the chain reads the environment of its process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env={**clean, **environ}, capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_variables_come_first() -> None:
    given = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    found = Provider({**given, "AWS_PROFILE": "other"}).get()
    assert (found.access_key, found.secret_key, found.session_token) == ("id", "secret", "token")
    assert "secret" not in repr(found) and "token" not in repr(found)


def test_a_profile_of_the_shared_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = profiled\naws_secret_access_key = hidden\n")
    told = asked({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "p"})
    assert told == ["profiled", "hidden", ""]


def test_those_that_expired_are_read_anew(
    tmp_path: pathlib.Path, store: object_store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text("[p]\naws_access_key_id = former\naws_secret_access_key = hidden\naws_session_token = t\n")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environ = {name: value for name, value in store.environ().items() if name not in keys}
    environ |= {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "p", "AWS_EC2_METADATA_DISABLED": "true"}
    for name in keys:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    store.put("bucket", "m/1/file", b"content")
    source = S3Source("s3://bucket/m", environ)
    assert source.files()
    told = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    store.faults.answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told)
    with pytest.raises(SourceError, match="renew the credentials"):
        source.files()
    store.faults.answer = b""
    file.write_text(file.read_text().replace("former", "renewed"))
    assert source.files()
    assert store.seen_keys == {"former", "renewed"}


def test_a_container_role() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = {"AccessKeyId": "role", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/role"
        assert asked({"AWS_CONTAINER_CREDENTIALS_FULL_URI": address}) == ["role", "s", "t"]
    finally:
        server.shutdown()
        server.server_close()


def test_nobody_at_all_is_an_answer_too(tmp_path: pathlib.Path) -> None:
    assert asked({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "HOME": str(tmp_path)}) == ["", "", ""]
