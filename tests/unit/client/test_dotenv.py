"""`.env` lines; a value never reaches an error."""

import pytest

from cortex_client.project import dotenv, errors


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"), ("A = spaced ", "spaced"), ("export A=x", "x"), ("A=", ""), ("A='single $B #x'", "single $B #x"),
        ('A="two\\nlines \\"q\\""', 'two\nlines "q"'), ("A=value # comment", "value"), ("A=a=b#c", "a=b#c"),
        ('A="x" # comment', "x"),
    ],
)  # fmt: skip
def test_values(line: str, value: str) -> None:
    assert dotenv.parse(f"# head\n\n{line}\n", ".env") == {"A": value}


def test_the_last_of_a_name_wins() -> None:
    assert dotenv.parse("A=1\nA=2\n", ".env") == {"A": "2"}


@pytest.mark.parametrize("line", ["hunter2", "1A=hunter2", 'A="hunter2', "A='hunter2"])
def test_a_mistake_is_told_without_the_secret(line: str) -> None:
    with pytest.raises(errors.ProjectInvalid, match=r"^\.env:2:1: ") as caught:
        dotenv.parse(f"OK=1\n{line}\n", ".env")
    assert "hunter2" not in caught.value.message
