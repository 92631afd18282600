"""Whatever bytes a replica wrote become an entry that can be sent."""

import json
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from cortex.logstream.v1 import logstream_service_pb2 as pb
from services.logstream import convert, model, parse
from tests.fakes import replica_logs

AT = replica_logs.stamp(1.25)
AT_NS = replica_logs.BEGIN_NS + 1_250_000_000


def line(**fields: Any) -> bytes:
    return json.dumps({"time": AT, "level": "info", "message": "hello", "source": "logging"} | fields).encode()


def test_known_and_further_fields() -> None:
    entry = parse.parse(line(worker="w1", trace_id="ab", user={"id": 7}), 5)
    assert (entry.time_ns, entry.level, entry.message, entry.worker) == (AT_NS, "info", "hello", "w1")
    assert (entry.source, entry.trace_id, entry.fields) == ("logging", "ab", {"user": {"id": 7}})


@pytest.mark.parametrize("raw", [b"plain text", b"{broken", b"123", b'["a"]', b'"text"', b"{}x"])
def test_what_is_no_object_is_shown_as_it_is(raw: bytes) -> None:
    entry = parse.parse(raw, 77)
    assert (entry.message, entry.level, entry.source, entry.time_ns) == (raw.decode(), "info", "stdout", 77)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("WARN", "warning"), ("critical", "error"), ("debug", "debug"), ("verbose", "info"), (3, "info"), (None, "info")],
)
def test_levels_are_brought_to_four(given: object, meant: str) -> None:
    assert parse.parse(line(level=given), 0).level == meant


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-20T12:00:01.250000Z", AT_NS),
        ("2026-11-20T14:00:01.25+02:00", AT_NS),
        ("2026-11-20T12:00:01.250000", AT_NS),
        ("yesterday", 77),
        ("2026-13-99T99:00:01.250000Z", 77),
        ("1969-01-01T00:00:00.000000Z", 77),
        (None, 77),
        (12, 77),
    ],
)
def test_times(time: object, expected: int) -> None:
    assert parse.parse(line(time=time), 77).time_ns == expected


def test_lines_the_replica_dropped() -> None:
    entry = parse.parse(line(source="cortex", message="dropped 12 log lines", dropped=12), 0)
    assert (entry.lost, entry.loss) == (12, "dropped 12 log lines")


def test_a_user_field_named_dropped_is_no_loss() -> None:
    entry = parse.parse(line(dropped=12), 0)
    assert (entry.lost, entry.loss, entry.fields) == (0, "", {"dropped": 12})


def test_the_head_of_a_long_line_keeps_time_and_level() -> None:
    whole = json.dumps({"time": AT, "level": "error", "message": "é\\\n" * 1000}).encode()
    for cut in range(90, 130):
        entry = parse.parse(whole[:cut], 5, cut=True)
        assert (entry.time_ns, entry.level) == (AT_NS, "error")
        assert entry.message.startswith("é\\\n")


def test_deep_fields_stay_readable_for_protobuf() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": [deep]}
    sent = convert.response(model.Batch([parse.parse(line(deep=deep), 0)], "t")).SerializeToString()
    assert "deep" in pb.TailLogsResponse.FromString(sent).entries[0].fields


@hypothesis.given(
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(["time", "level", "message", "worker", "source", "dropped", "x"]),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
                lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
                max_leaves=5,
            ),
        ).map(lambda fields: json.dumps(fields).encode()),
    )
)
def test_every_line_can_be_sent(raw: bytes) -> None:
    entry = parse.parse(raw, 1)
    assert convert.response(model.Batch([entry], "t")).ByteSize() > 0
