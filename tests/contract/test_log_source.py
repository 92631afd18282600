"""What every log source promises a tail: all lines once, in each replica's order, and a position to go on from."""

import pathlib
from collections.abc import Sequence

import pytest

from services.logstream import files, model, ports
from tests.fakes import replica_logs

SLACK_NS = 250_000_000


@pytest.fixture
def source(tmp_path: pathlib.Path) -> ports.LogSource:
    return files.FileSource(tmp_path / "logs" / "replicas", slack_ns=SLACK_NS, backlog_bytes=1 << 20)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> replica_logs.ReplicaLog:
    return replica_logs.ReplicaLog(tmp_path, "iris-r1-aaaaa")


def query(**fields: object) -> model.Query:
    return model.Query("default", "iris", **fields)  # type: ignore[arg-type]


def drain(reader: ports.LogReader, *, mark: bool = True) -> list[model.Entry]:
    found: list[model.Entry] = []
    for _ in range(10_000):
        chunk = reader.read()
        found += chunk.entries
        if chunk.floor_ns is None:
            break
    for entry in found if mark else ():
        entry.sent = True
    return found


def messages(entries: Sequence[model.Entry]) -> list[str]:
    return [entry.message or f"LOSS {entry.lost} {entry.loss}" for entry in entries]


def test_unknown_and_known_apis(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    assert source.has_api("default", "iris") and not source.has_api("default", "other")


def test_reads_everything_then_nothing(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    for n in range(3000):
        log.write(f"line {n}", at=n)
    reader = source.open(query(), None)
    assert messages(drain(reader)) == [f"line {n}" for n in range(3000)]
    assert drain(reader) == []
    reader.close()


def test_goes_on_exactly_after_what_was_sent(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    for n in range(10):
        log.write(f"line {n}", at=n)
    first = source.open(query(), None)
    for entry in drain(first, mark=False)[:4]:
        entry.sent = True
    position = first.position()
    first.close()
    log.write("line 10", at=10)
    second = source.open(query(), position)
    assert messages(drain(second)) == [f"line {n}" for n in range(4, 11)]
    third = source.open(query(), second.position())
    assert drain(third) == []


def test_goes_on_when_lines_left_out_of_order(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    for n in range(6):
        log.write(f"line {n}", at=n)
    first = source.open(query(), None)
    entries = drain(first, mark=False)
    for n in (0, 2, 4):
        entries[n].sent = True
    position = first.position()
    second = source.open(query(), position)
    assert messages(drain(second, mark=False)) == ["line 1", "line 3", "line 5"]
    assert messages(drain(source.open(query(), second.position()))) == ["line 1", "line 3", "line 5"]


def test_follows_what_is_written_and_who_joins(
    source: ports.LogSource, log: replica_logs.ReplicaLog, tmp_path: pathlib.Path
) -> None:
    log.write("old", at=0)
    reader = source.open(query(follow=True), None)
    assert messages(drain(reader)) == ["old"]
    log.write("new", at=1)
    replica_logs.ReplicaLog(tmp_path, "iris-r2-bbbbb", revision="r2-bbbb").write("joined", at=2)
    assert sorted(messages(drain(reader))) == ["joined", "new"]
    reader.close()


def test_a_tail_that_does_not_follow_ends_with_what_was_there(
    source: ports.LogSource, log: replica_logs.ReplicaLog
) -> None:
    log.write("old", at=0)
    reader = source.open(query(), None)
    log.write("new", at=1)
    assert messages(drain(reader)) == ["old"]


def test_the_newest_lines_of_all_replicas(
    source: ports.LogSource, log: replica_logs.ReplicaLog, tmp_path: pathlib.Path
) -> None:
    other = replica_logs.ReplicaLog(tmp_path, "iris-r1-bbbbb")
    for n in range(500):
        log.write(f"a{n}", at=n)
        other.write(f"b{n}", at=n + 0.5)
    reader = source.open(query(tail_lines=5), None)
    assert sorted(messages(drain(reader))) == ["a498", "a499", "b497", "b498", "b499"]
    assert drain(source.open(query(), reader.position())) == []


def test_filters_by_place(source: ports.LogSource, log: replica_logs.ReplicaLog, tmp_path: pathlib.Path) -> None:
    log.write("one", at=0)
    replica_logs.ReplicaLog(tmp_path, "iris-r2-bbbbb", revision="r2-bbbb").write("two", at=1)
    assert messages(drain(source.open(query(revision="r2-bbbb"), None))) == ["two"]
    assert messages(drain(source.open(query(replicas=frozenset(["iris-r1-aaaaa"])), None))) == ["one"]
    assert drain(source.open(query(revision="../r1-aaaa"), None)) == []


def test_filters_by_content(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    log.write("cat 1", at=0, level="debug")
    log.write("cat 2", at=1, level="error", trace_id="abc")
    log.write("dog", at=2, level="warning")
    assert messages(drain(source.open(query(min_level="warning"), None))) == ["cat 2", "dog"]
    assert messages(drain(source.open(query(trace_id="abc"), None))) == ["cat 2"]
    assert messages(drain(source.open(query(grep="^c.*[12]$"), None))) == ["cat 1", "cat 2"]
    since = replica_logs.BEGIN_NS + 1_000_000_000
    assert messages(drain(source.open(query(since_ns=since), None))) == ["cat 2", "dog"]
    assert messages(drain(source.open(query(grep="cat", tail_lines=1), None))) == ["cat 2"]


def test_a_loss_passes_the_filters(source: ports.LogSource, log: replica_logs.ReplicaLog) -> None:
    log.write("dropped 7 log lines", at=0, source="cortex", dropped=7)
    [loss] = drain(source.open(query(min_level="error", grep="x", trace_id="aa"), None))
    assert (loss.lost, loss.replica) == (7, "iris-r1-aaaaa")
