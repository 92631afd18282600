"""Predictions over HTTP and gRPC."""

import json
import pathlib
import sys

import pytest

from cortex_client import Client, exceptions
from tests.client.conftest import Cortex
from tests.fakes.control_plane import ControlPlane


@pytest.fixture
def deployed(cortex: Cortex, http_door: str, project: pathlib.Path) -> None:
    assert cortex("deploy").code == 0


@pytest.mark.usefixtures("deployed")
def test_http(cortex: Cortex, tmp_path: pathlib.Path) -> None:
    (tmp_path / "sample.json").write_text('{"a": 1}')
    result = cortex("predict", "iris", str(tmp_path / "sample.json"))
    assert (result.code, json.loads(result.out)) == (0, {"got": {"a": 1}, "path": "/iris"})


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    ("said", "kind", "terminal", "shown"),
    [
        ("yes", "text/plain", False, "yes\n"),
        ("yes\n", "text/plain; charset=utf-8", False, "yes\n"),
        ("yes", "application/octet-stream", False, "yes"),
        ("yes", "application/octet-stream", True, "yes\n"),
        ("yes\n", "text/plain", True, "yes\n"),
        ('{"a": 1}\n{"b": 2}\n', "application/x-ndjson", False, '{"a": 1}\n{"b": 2}\n'),
        ("no JSON", "application/json; charset=utf-8", False, "no JSON\n"),
        ('{"a":1}', "application/problem+json", False, '{"a": 1}\n'),
    ],
)
def test_text_ends_its_line_and_bytes_stay_as_they_are(
    cortex: Cortex, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: str, terminal: bool,
    shown: str,
) -> None:  # fmt: skip
    (tmp_path / "sample.json").write_text(json.dumps({"say": said, "as": kind}))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert cortex("predict", "iris", str(tmp_path / "sample.json")).out == shown


@pytest.mark.usefixtures("deployed")
def test_an_error_of_the_predictor_is_told_with_its_request(cortex: Cortex, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad.json").write_text('"fail"')
    result = cortex("predict", "iris", str(tmp_path / "bad.json"))
    assert (result.code, result.out) == (1, "")
    assert "Error: the API answered 500: predictor raised" in result.err
    assert "request id: " in result.err
    assert "next: see `cortex logs iris --trace " in result.err


@pytest.mark.usefixtures("deployed")
def test_what_is_not_json_is_wrong_usage(cortex: Cortex, project: pathlib.Path) -> None:
    result = cortex("predict", "iris", "predictor.py")
    assert result.code == 2
    assert "is not JSON" in result.err


@pytest.mark.usefixtures("deployed")
def test_the_url_is_looked_up_once(plane: ControlPlane) -> None:
    with Client() as client:
        for number in range(3):
            assert client.predict("iris", number).json()["got"] == number
        assert client.predict("iris", {"say": "sétosa", "as": "text/plain"}).text == "sétosa"
    assert len(plane.called("GetApi")) == 1


def test_grpc_goes_through_the_data_address(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    plane.data_url = f"http://{plane.address}"
    cortex("deploy", "-n", "team")
    with Client(namespace="team") as client:
        assert client.predict_grpc("iris", {"a": [1, None]}) == {"a": [1.0, None]}
        assert client.predict_grpc("iris", b"raw") == b"raw"
        assert list(client.predict_stream("iris", ["x", "y"])) == ["x", "y"]
    assert plane.metadata[-1]["cortex-api"] == "team/iris"


def test_grpc_from_the_command_line(cortex: Cortex, plane: ControlPlane, project: pathlib.Path) -> None:
    plane.data_url = f"http://{plane.address}"
    cortex("deploy")
    (project / "list.json").write_text('["x", {"y": 1}]')
    assert json.loads(cortex("predict", "iris", "list.json", "--grpc").out) == ["x", {"y": 1.0}]
    assert cortex("predict", "iris", "list.json", "--stream").out.splitlines() == ['"x"', '{"y": 1.0}']
    assert plane.metadata[-1]["cortex-api"] == "iris"


@pytest.mark.usefixtures("plane")
def test_a_gateway_that_is_not_there(cortex: Cortex, project: pathlib.Path) -> None:
    cortex("deploy")
    with Client() as client, pytest.raises(exceptions.Unavailable, match="cannot be reached"):
        client.predict("iris", 1)
