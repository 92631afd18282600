"""What `grep` finds, and what it refuses."""

import pytest

from services.chassis import errors
from services.logstream import grep


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?i)error.*TIMEOUT", "an ERROR: a timeout", True),
        ("(?i:a+)b+", "AAb", True),
        ("(?i:a+)b+", "AAB", False),
        ("[^x]+y+", "xxxy", False),
        ("(?s)a.*b.*", "a\nb", True),
        ("a.*b.*", "a\nb", False),
        ("(?m)^b+c*$", "a\nb", True),
        ("^b", "ab", False),
        (r"\bcat\b", "a cat!", True),
        (r"\bcat\b", "concatenate", False),
        ("é+ü*", "caféé", True),
        ("^.$", "é", True),
        ("b", "a lone \ud800, then b", True),
    ],
)
def test_finds(pattern: str, text: str, found: bool) -> None:
    assert grep.Pattern(pattern).found_in(text) is found


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*)*x", ".*.*.*.*.*=", "(a|b)*a(a|b){40}c", r"(\w+\s?)*!"])
def test_patterns_made_to_explode_return(pattern: str) -> None:
    assert grep.Pattern(pattern).found_in("a" * (grep.MATCHED_CHARACTERS - 1) + "-") is False


def test_looks_at_the_head_of_a_message_only() -> None:
    pattern, text = grep.Pattern("x"), "é" * (grep.MATCHED_CHARACTERS - 1)
    assert pattern.found_in(text + "x") is True
    assert pattern.found_in(text + "éx") is False


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "missing ): ("),
        ("é(", "missing ): é("),
        ("[z-a]", "z-a"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("a(?=b)", "invalid perl operator: (?="),
        ("(?>a)b", "invalid perl operator"),
        ("a{1001}", "repetition size: {1001}"),
        ("(a{500}){500}", "repetition size"),
        (r"[\pN\pL]{900}", "pattern too large"),
        ("a" * 1025, "longer than 1024 bytes"),
        ("é" * 513, "longer than 1024 bytes"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_mistake(
    pattern: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(errors.InvalidArgument, match="grep") as refused:
        grep.Pattern(pattern)
    [violation] = refused.value.violations
    assert violation.field == "grep" and told in violation.description
    assert told in str(refused.value) and "b'" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_the_longest_pattern_is_taken() -> None:
    assert grep.Pattern("a" * grep.LONGEST_PATTERN).found_in("a" * 2000) is True
