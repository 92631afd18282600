"""How results look, and what never shows."""

import datetime

import pytest
from google.protobuf import timestamp_pb2

from cortex.apiserver.v1 import api_pb2
from cortex_client.cli import output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (12.7, "12s"), (60, "1m"), (192, "3m12s"), (3600, "1h"), (90061, "1d1h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.00123, "1.23ms"), (0.5, "500ms"), (2.345, "2.35s")])
def test_latencies(seconds: float, text: str) -> None:
    assert output.latency(seconds, 1) == text
    assert output.latency(seconds, 0) == "-"


def test_ages() -> None:
    now = datetime.datetime.fromtimestamp(1000, datetime.UTC)
    assert output.age(timestamp_pb2.Timestamp(seconds=900), now) == "1m40s"
    assert output.age(timestamp_pb2.Timestamp(seconds=2000), now) == "0s"
    assert output.age(timestamp_pb2.Timestamp(), now) == "-"


def test_columns_align_with_and_without_colour() -> None:
    text = output.table(["A", "B"], [["\x1b[32mlong\x1b[0m", "x"], ["y", "z"]])
    assert text.splitlines() == ["A     B", "\x1b[32mlong\x1b[0m  x", "y     z"]


def test_environment_values_are_hidden() -> None:
    api = api_pb2.Api(name="n")
    api.spec.predictor.env["TOKEN"] = "hunter2"
    assert output.to_data(api)["spec"]["predictor"]["env"] == {"TOKEN": "<hidden>"}
    assert "hunter2" not in output.to_yaml(output.to_data(api))


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("Going back.\nDetails", "Going back."),
        ("Traceback (most recent call last):\n  File ...\nValueError: no weights\n", "ValueError: no weights"),
    ],
)
def test_the_one_line_that_says_most(message: str, line: str) -> None:
    assert output.gist(message) == line


def test_yaml_keeps_long_values_on_their_line() -> None:
    assert output.to_yaml({"digest": "sha256:" + "a b " * 50 + "c"}).count("\n") == 1
