"""A token opens for its own API only, and nothing else opens at all."""

import base64
import json
import zlib

import hypothesis
import hypothesis.strategies as st
import pytest

from services.chassis import errors
from services.logstream import tokens

API = ("default", "iris")


def test_what_is_sealed_opens() -> None:
    position = {"r1/iris-r1-abcde": [[123, 456, 789, 1000]]}
    assert tokens.open_token(API, tokens.seal(API, position)) == position
    assert tokens.open_token(API, "") is None


def test_a_token_of_a_thousand_replicas_is_small_enough_for_a_message() -> None:
    position = {f"r12-abcdef12/iris-r12-abcdef12-{n:05}": [[n * 7919, n * 104729, n * 15485863]] for n in range(1000)}
    token = tokens.seal(API, position)
    assert len(token) < 60_000
    assert tokens.open_token(API, token) == position


@pytest.mark.parametrize("token", [tokens.seal(("default", "other"), {}), "x", "1", "1!!!", "1AAAA", "9" * 500_000])
def test_others_are_refused(token: str) -> None:
    with pytest.raises(errors.InvalidArgument) as told:
        tokens.open_token(API, token)
    assert told.value.reason == "INVALID_RESUME_TOKEN"


def test_a_bomb_is_not_inflated() -> None:
    packed = zlib.compress(json.dumps(["x", "a" * 50_000_000]).encode(), 9)
    with pytest.raises(errors.InvalidArgument):
        tokens.open_token(API, "1" + base64.urlsafe_b64encode(packed).decode())


@hypothesis.given(st.text(max_size=60))
def test_noise_is_refused(noise: str) -> None:
    hypothesis.assume(noise)
    with pytest.raises(errors.InvalidArgument):
        tokens.open_token(API, noise)
