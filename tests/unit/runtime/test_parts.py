"""Small parts: sketches, deadlines, log files, forms, settings."""

import asyncio
import json
import math
import os
import pathlib
import random
from typing import Any

import pytest

from runtime import deadlines, grpc_errors, logs, metrics, sketch, tracing, user_python
from runtime.calls import Call
from runtime.shim import encode, forms, mappings


def test_a_sketch_knows_quantiles_within_one_percent() -> None:
    rng = random.Random(1)
    values = sorted(rng.lognormvariate(-5, 2) for _ in range(5000))
    made = sketch.Sketch()
    for value in [*values, -2.0, 0.0]:
        made.add(value)
    message = made.to_proto()
    gamma = (1 + message.relative_accuracy) / (1 - message.relative_accuracy)
    for quantile in (0.5, 0.9, 0.99):
        rank, seen = quantile * len(values), 0
        for index in sorted(message.bins):
            seen += message.bins[index]
            if seen >= rank:
                break
        true = values[math.ceil(rank) - 1]
        assert abs(2 * gamma**index / (gamma + 1) - true) <= 0.0101 * true
    assert (message.count, message.zero_count, sum(message.negative_bins.values()), message.min) == (5002, 1, 1, -2.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_changes_no_sketch(value: float) -> None:
    made = sketch.Sketch()
    assert made.add(2.0) and not made.add(value)
    message = made.to_proto()
    assert (message.count, sum(message.bins.values()), message.sum) == (1, 1, 2.0)
    assert (message.min, message.max, message.zero_count, len(message.negative_bins)) == (2.0, 2.0, 0, 0)


@pytest.mark.parametrize("prediction", [b"nnan", b"ninf", b"n-inf", b"nx", b"?"])
def test_predictions_that_are_no_numbers_are_counted_as_unreadable(prediction: bytes) -> None:
    measured = metrics.Metrics()
    measured.predicted(b"n1.5")
    measured.predicted(prediction)
    summary = measured.take(1.0, 0, 0).predictions
    assert (summary.unreadable, summary.values.count, summary.values.sum) == (1, 1, 1.5)


def test_classes_are_bounded_over_the_life_of_the_process() -> None:
    measured = metrics.Metrics()
    for number in range(metrics.MAX_CLASSES + 5):
        measured.predicted(b"c%d" % number)
    first = measured.take(1.0, 0, 0).predictions
    measured.predicted(b"c0")
    measured.predicted(b"cnew")
    measured.predicted(b"nonsense")
    second = measured.take(2.0, 0, 0).predictions
    assert (len(first.class_counts), first.other_classes) == (1000, 5)
    assert (dict(second.class_counts), second.other_classes, second.unreadable) == ({"0": 1}, 1, 1)


async def test_deadlines_fire_in_time_and_not_after_a_discard() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    done = asyncio.Event()

    def expired(call: Call) -> None:
        fired.append(call.request_id)
        if len(fired) == 3:
            done.set()

    kept = deadlines.Deadlines(loop, 0.05, expired)
    now = loop.time()
    for name, began, timeout in (
        ("b", now, 0.05),
        ("gone", now, 0.05),
        ("late body", now - 0.03, 0.05),
        ("c", now, 0.08),
    ):
        call = Call(began)
        call.fields, call.deadline = [name.encode()] * 5, began + timeout
        kept.watch(call)
        if name == "gone":
            kept.discard(call)
    async with asyncio.timeout(5):
        await done.wait()
    assert fired == ["late body", "b", "c"]


async def test_a_deadline_that_fails_leaves_the_others_theirs() -> None:
    loop = asyncio.get_running_loop()
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, told: reported.append(told["exception"]))
    done = asyncio.Event()

    def expired(call: Call) -> None:
        if call.request_id == "bad":
            raise LookupError
        done.set()

    kept = deadlines.Deadlines(loop, 0.01, expired)
    now = loop.time()
    for name in ("bad", "good"):
        call = Call(now)
        call.fields, call.deadline = [name.encode()] * 5, now + 0.01
        kept.watch(call)
    async with asyncio.timeout(5):
        await done.wait()
    assert [type(each) for each in reported] == [LookupError]


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error": "\\ud800"}', b"{", b'{"error": "plain"}'])
def test_any_error_body_makes_a_status_message(body: bytes) -> None:
    assert grpc_errors.text(body, "application/json").encode()


def test_the_log_file_is_rotated_and_keeps_lines_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 300_000)
    log = logs.LogFile(str(tmp_path / "log.jsonl"), "info")
    for number in range(1000):
        log.line("info", f"{number} " + "x" * 500, source="stdout", worker="w0")
    log.say("debug", "too quiet")
    log.close()
    kept = [
        json.loads(line) for name in ("log.jsonl.1", "log.jsonl") for line in (tmp_path / name).read_text().splitlines()
    ]
    numbers = [int(line["message"].split()[0]) for line in kept]
    assert numbers == list(range(numbers[0], 1000))
    assert {path.name for path in tmp_path.iterdir()} == {"log.jsonl", "log.jsonl.1"}


def test_lines_beyond_the_buffer_are_counted(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "missing"
    folder.write_text("a file where the folder should be")
    log = logs.LogFile(str(folder / "log.jsonl"), "info")
    log.say("info", "lost")
    log.drop(2)
    folder.unlink()
    log.say("info", "after")
    log.close()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # Whether the first line was lost depends on the writer's pace; every line is kept or counted either way.
    assert sum(line.get("dropped", 0) for line in lines) + sum("dropped" not in line for line in lines) == 4


@pytest.mark.parametrize(
    "body",
    [b"", b"--b", b"--b\r\n--b--", b"--b\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b--", b"--b\r\nx\r\n--b--"],
)
def test_broken_forms_are_value_errors(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"multipart"):
        forms.parse_multipart(body, "b")


def test_parameters_of_headers() -> None:
    value = 'form-data; name="a;b\\"c"; filename=plain.txt'
    assert mappings.parameter(value, "name") == 'a;b"c'
    assert mappings.parameter(value, "filename") == "plain.txt"
    assert mappings.parameter(value, "charset") == ""


def test_headers_ignore_case_and_join() -> None:
    headers = mappings.Headers([("A", "1"), ("a", "2"), ("b", "3")])
    assert (headers["A"], headers.get("B"), "X" in headers, headers.getlist("a")) == ("1, 2", "3", False, ["1", "2"])


@pytest.mark.parametrize(
    ("result", "kind", "key", "expected"),
    [
        ({"label": "cat"}, "classification", "label", "ccat"),
        ("cat", "classification", "", "ccat"),
        ([3], "classification", "", "c3"),
        ({"other": 1}, "classification", "label", "?"),
        (1.5, "regression", "", "n1.5"),
        (float("nan"), "regression", "", "?"),
        ("x", "regression", "", "?"),
        ("x", "", "", None),
    ],
)
def test_predictions(result: object, kind: str, key: str, expected: str | None) -> None:
    assert encode.prediction(result, kind, key) == expected


@pytest.mark.parametrize("header", [("x-a", "b\r\nc: d"), ("x a", "b"), ("", "b")])
def test_headers_cannot_break_out(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="not valid"):
        encode.check_headers([header])


@pytest.mark.parametrize("bad", [b"", b"x", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", b"00-a-b-01\n"])
def test_a_traceparent_that_is_none_is_dropped(bad: bytes) -> None:
    assert tracing.valid(bad) == b""
    good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert tracing.valid(good) == good


@pytest.mark.parametrize(("mark", "variable"), [("pyvenv.cfg", "VIRTUAL_ENV"), ("conda-meta", "CONDA_PREFIX")])
def test_a_worker_knows_the_environment_it_is_in(tmp_path: pathlib.Path, mark: str, variable: str) -> None:
    (tmp_path / mark).mkdir()
    base = {"PATH": "/usr/bin", "CORTEX_HOME": "/ours", "VIRTUAL_ENV": "/ours"}
    made = user_python.environment(str(tmp_path / "bin/python"), {"A": "b"}, base)
    assert made == {"PATH": f"{tmp_path}/bin:/usr/bin", variable: str(tmp_path), "A": "b"}


def test_workers_divide_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert user_python.native_threads(1)["OMP_NUM_THREADS"] == str(cores)
    assert set(user_python.native_threads(1000).values()) == {"1"}


def test_who_sets_openmps_threads_sets_all() -> None:
    """PyTorch takes MKL's number for OpenMP's."""
    made = user_python.environment("python", {"OMP_NUM_THREADS": "1"}, user_python.native_threads(1))
    assert {made[name] for name in user_python.native_threads(1)} == {"1"}
    own = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "2"}
    assert own.items() <= user_python.environment("python", own, user_python.native_threads(1)).items()
