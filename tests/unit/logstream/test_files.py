"""Rotation, removal, torn and giant lines, slow readers: in each case every line, or a notice."""

import json
import os
import pathlib
import random

import pytest

from services.chassis import errors
from services.logstream import backwards, files, filters, generation, model
from tests.contract.test_log_source import SLACK_NS, drain, messages, query
from tests.fakes import replica_logs


@pytest.fixture
def log(tmp_path: pathlib.Path) -> replica_logs.ReplicaLog:
    return replica_logs.ReplicaLog(tmp_path, "iris-r1-aaaaa")


def source(tmp_path: pathlib.Path, backlog: int = 1 << 20) -> files.FileSource:
    return files.FileSource(tmp_path / "logs" / "replicas", slack_ns=SLACK_NS, backlog_bytes=backlog)


def test_rotation_while_following_loses_nothing(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("line 0", at=0)
    reader, found, written = source(tmp_path).open(query(follow=True), None), [], 1
    for round_ in range(6):
        for _ in range(50):
            log.write(f"line {written}", at=written)
            written += 1
            if round_ % 2 and written % 20 == 0:
                found += drain(reader)
        log.rotate()
        found += drain(reader) if round_ % 3 else []
    found += drain(reader)
    assert messages(found) == [f"line {n}" for n in range(written)]
    assert drain(source(tmp_path).open(query(follow=True), reader.position())) == []


def test_a_late_writer_to_the_rotated_file_is_heard(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("one", at=0)
    reader = source(tmp_path).open(query(follow=True), None)
    with log.path.open("ab") as late:
        log.rotate()
        log.write("three", at=2)
        assert messages(drain(reader)) == ["one", "three"]
        late.write(b'{"message": "two"}\n')
    assert messages(drain(reader)) == ["two"]


def test_rotation_faster_than_reading_is_told(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("one", at=0)
    reader = source(tmp_path).open(query(follow=True), None)
    drain(reader)
    for n in range(2, 6):
        log.rotate()
        log.write(f"line {n}", at=n)
    loss = "LOSS 0 its log was rotated faster than it was read; lines may be missing"
    assert messages(drain(reader)) == [loss, "line 4", "line 5"]


@pytest.mark.parametrize("rotations", [1, 2])
def test_going_on_after_rotation(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog, rotations: int) -> None:
    log.write("one", at=0)
    log.write("two", at=1)
    first = source(tmp_path).open(query(), None)
    drain(first, mark=False)[0].sent = True
    position = first.position()
    first.close()
    for n in range(rotations):
        log.rotate()
        log.write(f"rotated {n}", at=2 + n)
    found = messages(drain(source(tmp_path).open(query(), position)))
    if rotations == 1:
        assert found == ["two", "rotated 0"]
    else:
        assert found[0].startswith("LOSS 0 its log was rotated") and found[1:] == ["rotated 0", "rotated 1"]


def test_going_on_after_removal_is_told(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("one", at=0)
    first = source(tmp_path).open(query(), None)
    drain(first)
    log.path.unlink()
    [loss] = drain(source(tmp_path).open(query(), first.position()))
    assert loss.loss.startswith("its log was removed") and loss.replica == "iris-r1-aaaaa"


def test_a_file_of_the_same_inode_with_other_content_is_another(
    tmp_path: pathlib.Path, log: replica_logs.ReplicaLog
) -> None:
    log.write("one", at=0)
    first = source(tmp_path).open(query(), None)
    drain(first)
    log.path.write_bytes(b"")
    log.write("two, written into the same inode", at=5)
    found = messages(drain(source(tmp_path).open(query(), first.position())))
    assert found[0].startswith("LOSS 0 its log was rotated or") and found[1:] == ["two, written into the same inode"]


def test_removal_while_following_loses_nothing(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("one", at=0)
    reader = source(tmp_path).open(query(follow=True), None)
    drain(reader)
    log.write("two", at=1)
    log.path.unlink()
    assert messages(drain(reader)) == ["two"]
    log.write("three", at=2)
    assert messages(drain(reader)) == ["three"]


def test_cut_short_in_place_is_told(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("a long first line", at=0)
    reader = source(tmp_path).open(query(follow=True), None)
    drain(reader)
    os.truncate(log.path, 0)
    log.write("two", at=1)
    found = messages(drain(reader) + drain(reader))
    assert sorted(found) == ["LOSS 0 its log was cut short; lines may be missing", "two"]


def test_a_torn_line_is_waited_for(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    reader = source(tmp_path).open(query(follow=True), None)
    log.raw(b'{"message": "to')
    assert drain(reader) == []
    log.raw(b'rn"}\n')
    assert messages(drain(reader)) == ["torn"]


def test_a_torn_line_that_nobody_will_finish_is_shown(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.raw(b'{"message": "to')
    reader = source(tmp_path).open(query(follow=True), None)
    assert drain(reader) == []
    log.rotate()
    log.write("next", at=1)
    assert messages(drain(reader)) == ['{"message": "to', "next"]


def test_a_giant_line_is_cut_and_told(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    log.write("before", at=0)
    log.write("x" * 3_000_000, at=1, level="error")
    log.write("after", at=2)
    found = drain(source(tmp_path).open(query(), None))
    assert [len(e.message) for e in found] == [6, pytest.approx(generation.LONGEST_LINE, abs=200), 0, 5]
    assert found[1].level == "error" and found[2].loss.startswith("a line of 3000")
    assert [len(e.message) for e in drain(source(tmp_path).open(query(tail_lines=1), None))] == [5]


def test_a_slow_follower_loses_the_oldest_and_is_told_how_many(
    tmp_path: pathlib.Path, log: replica_logs.ReplicaLog
) -> None:
    reader = source(tmp_path, backlog=20_000).open(query(follow=True), None)
    log.write("first", at=0)
    assert messages(drain(reader)) == ["first"]
    for n in range(1000):
        log.write(f"line {n:03}", at=n)
    found = drain(reader)
    [loss] = [entry for entry in found if entry.loss]
    lines = [entry.message for entry in found if not entry.loss]
    assert loss.lost > 900 and lines == [f"line {n:03}" for n in range(loss.lost, 1000)]


def test_a_first_look_back_never_counts_as_slow(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    for n in range(1000):
        log.write(f"line {n}", at=n)
    assert len(drain(source(tmp_path, backlog=20_000).open(query(follow=True), None))) == 1000


def test_logs_of_a_deleted_namesake_are_neither_shown_nor_missed(
    tmp_path: pathlib.Path, log: replica_logs.ReplicaLog
) -> None:
    log.write("old", at=0)
    log.rotate()
    log.write("old too", at=200)
    before = source(tmp_path).open(query(), None)
    assert messages(drain(before)) == ["old", "old too"]
    replica_logs.ReplicaLog(tmp_path, "iris-r1-bbbbb").write("new", at=101)
    born = replica_logs.BEGIN_NS + 100_000_000_000
    reader = source(tmp_path).open(query(follow=True, born_ns=born), before.position())
    log.write("old still", at=202)
    assert messages(drain(reader)) == ["new"]


def test_a_folder_in_which_nothing_changes_is_not_searched_again(
    tmp_path: pathlib.Path, log: replica_logs.ReplicaLog
) -> None:
    log.write("one", at=0)
    folder = log.path.parent
    os.utime(folder, (1.0, 1.0))
    reader = source(tmp_path).open(query(follow=True), None)
    replica_logs.ReplicaLog(tmp_path, "iris-r1-bbbbb").write("two", at=1)
    os.utime(folder, (1.0, 1.0))
    assert messages(drain(reader)) == ["one"]
    os.utime(folder)
    assert messages(drain(reader)) == ["two"]
    # A change in the same instant as the last look is not overlooked.
    replica_logs.ReplicaLog(tmp_path, "iris-r1-ccccc").write("three", at=2)
    os.utime(folder, ns=(0, folder.stat().st_mtime_ns))
    assert messages(drain(reader)) == ["three"]


def test_links_and_strange_names_are_left_alone(tmp_path: pathlib.Path, log: replica_logs.ReplicaLog) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    log.path.with_name("iris-r1-linky.jsonl").symlink_to(secret)
    log.path.with_name("..evil.jsonl").write_text("evil\n")
    log.path.parent.with_name("link").symlink_to(log.path.parent)
    log.write("fine", at=0)
    found = messages(drain(source(tmp_path).open(query(), None)))
    assert found[0] == "fine" and not any("secret" in text or "evil" in text for text in found)


@pytest.mark.parametrize("position", [[], 7, {"a": 3}, {"a": [[1, 2]]}, {"a": [[1, -2, 3]]}, {"a": [[1, 2, "x"]]}])
def test_forged_positions_are_refused(tmp_path: pathlib.Path, position: object) -> None:
    with pytest.raises(errors.InvalidArgument):
        source(tmp_path).open(query(), position)


@pytest.mark.parametrize("seed", range(5))
def test_newest_lines_equal_the_end_of_a_whole_read(tmp_path: pathlib.Path, seed: int) -> None:
    rng = random.Random(seed)
    logs = [replica_logs.ReplicaLog(tmp_path, f"iris-r1-aaaa{n}") for n in range(3)]
    for n in range(600):
        one = rng.choice(logs)
        one.write(f"{n} " + "y" * rng.choice([1, 200, 5000]), at=n * 0.01 + rng.uniform(-0.02, 0.02))
        if rng.random() < 0.005:
            one.rotate()
            one.write(f"{n} rotated", at=n * 0.01)
    everything = sorted(drain(source(tmp_path).open(query(grep="[02468] "), None)), key=lambda e: e.time_ns)
    for count in (1, 17, 200, 5000):
        newest = drain(source(tmp_path).open(query(grep="[02468] ", tail_lines=count), None))
        assert sorted(e.time_ns for e in newest) == [e.time_ns for e in everything][-count:]


def test_backwards_reading_meets_every_line(tmp_path: pathlib.Path) -> None:
    path, rng = tmp_path / "x.jsonl", random.Random(4)
    lines = [json.dumps({"n": n, "x": "z" * rng.choice([0, 10, 70_000])}).encode() for n in range(200)]
    path.write_bytes(b"\n".join(lines) + b"\n" + b"half")
    part = generation.Generation(path, path.stat())
    assert [raw for _, raw in backwards.lines_backwards(part)] == lines[::-1]


def test_the_filter_spares_decoding_only_where_it_may() -> None:
    wanted = filters.Filter(model.Query("default", "iris", trace_id="abc"))
    assert wanted.may_accept(b'{"trace_id":"abc"}') and not wanted.may_accept(b'{"trace_id":"def"}')
    assert wanted.may_accept(b'{"dropped":3}')
