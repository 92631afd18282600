"""What `/v1` refuses before it costs memory or time."""

import json

import pytest

from runtime.openai import requests
from runtime.openai.problems import Problem


def completion(prompts: int, other: int) -> bytes:
    return json.dumps({"model": "m", "prompt": ["a"] * prompts, "suffix": "x" * other}).encode()


def test_large_fields_are_not_copied_for_every_prompt() -> None:
    with pytest.raises(Problem, match="too many prompts") as caught:
        requests.parse_completion(completion(1024, 100_000), {"m"})
    assert caught.value.status == 413
    assert len(requests.parse_completion(completion(10, 100_000), {"m"}).calls) == 10


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", 400), (b'"' + b" " * 2**24 + b'"', 413)],
)
def test_depth_and_size_are_bounded_before_parsing(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        requests.parse_chat(body, {"m"})
    assert caught.value.status == status
