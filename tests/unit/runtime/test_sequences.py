"""Which instance of the embedded engine has which sequence, and what it is told of it."""

from typing import Any

import pytest

from runtime.embedded.sequences import Sequences
from runtime.inference import InferError, InferRequest, Tensor

ONE, TWO, NEW = HOSTS = (object(), object(), object())
CONTROLS: list[Any] = [
    {"name": "START", "control": [{"int32_false_true": [0, 1]}]},  # the kind 0 is left out
    {"name": "END", "control": [{"kind": "CONTROL_SEQUENCE_END", "fp32_false_true": [0.0, 2.0]}]},
    {"name": "READY", "control": [{"kind": "CONTROL_SEQUENCE_READY", "bool_false_true": [False, True]}]},
    {"name": "ID", "control": [{"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_UINT64"}]},
]


def request(key: Any, **said: bool) -> InferRequest:
    told = {"sequence_id": key, **{f"sequence_{name}": value for name, value in said.items()}}
    return InferRequest("m", "", "", [Tensor("x", "INT32", [2, 1], bytes(8))], parameters=told)


def sequences(**more: Any) -> Any:
    return Sequences("m", {"max_batch_size": 4, "sequence_batching": {"control_input": CONTROLS, **more}})


def test_a_sequence_stays_where_it_began_and_others_go_elsewhere() -> None:
    known = sequences()
    first = known.host(request("a", start=True), [ONE, TWO], 0.0)
    second = known.host(request("b", start=True), [ONE, TWO], 0.1)
    assert {first, second} == {ONE, TWO}
    assert known.host(request("a"), [ONE, TWO], 0.2) is first and known.host(request("b"), [ONE, TWO], 0.3) is second
    assert known.host(request("a", end=True), [ONE, TWO], 0.4) is first
    with pytest.raises(InferError, match="START"):
        known.host(request("a"), [ONE, TWO], 0.5)


@pytest.mark.parametrize(
    ("able", "now"), [((NEW,), 0.1), ((ONE,), 1.5)], ids=["its process is another one", "silent for too long"]
)
def test_what_is_lost_has_to_begin_again(able: Any, now: float) -> None:
    known = sequences()
    known.host(request("a", start=True), [ONE], 0.0)
    with pytest.raises(InferError, match="START") as caught:
        known.host(request("a"), able, now)
    assert caught.value.status == 400


def test_silence_begins_with_the_answer_and_lasts_as_configured() -> None:
    known = sequences(max_sequence_idle_microseconds=5_000_000)
    known.host(request(1, start=True), [ONE], 0.0)
    known.used(request(1), 20.0)
    assert known.host(request(1), [ONE], 24.9) is ONE


@pytest.mark.parametrize("key", [0, ""])
def test_every_request_names_its_sequence(key: Any) -> None:
    with pytest.raises(InferError, match="correlation ID"):
        sequences().host(request(key, start=True), [ONE], 0.0)


def test_the_model_is_told_by_control_tensors() -> None:
    _, start, end, ready, key = sequences().controlled(request(7, start=True))
    assert (start.datatype, list(start.shape), start.data) == ("INT32", [2, 1], b"\x01\0\0\0" * 2)
    assert (end.datatype, end.data) == ("FP32", bytes(8)) and (ready.datatype, ready.data) == ("BOOL", b"\1\1")
    assert (key.datatype, key.data) == ("UINT64", (7).to_bytes(8, "little") * 2)
    with pytest.raises(InferError, match="UINT64"):
        sequences().controlled(request("seven"))
