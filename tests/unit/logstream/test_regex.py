"""The automaton finds what `re` finds, and in linear time what `re` would never finish."""

import re
import time

import hypothesis
import hypothesis.strategies as st
import pytest

from services.chassis import errors
from services.logstream import filters, regex

_ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", r"\b", r"\B", "^", "$", "(?:)", "_"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:%s|%s)".__mod__),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?", "{2,}"])).map("(?:%s)%s".__mod__),
        inner.map("(%s)".__mod__),
    ),
    max_leaves=8,
)


@hypothesis.given(_PATTERNS, st.text(alphabet="abc1 _A", min_size=1, max_size=12))
def test_finds_what_re_finds(pattern: str, text: str) -> None:
    ours = regex.Pattern(pattern)
    assert ours._run(text) == ours.found_in(text) == (re.search(pattern, text) is not None)


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
        ("é+ü*", "caféé", True),
    ],
)
def test_flags_and_letters(pattern: str, text: str, found: bool) -> None:
    assert regex.Pattern(pattern)._run(text) is found


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)*x", ".*.*.*.*.*=", "(a|b)*a(a|b){40}c", r"(\w+\s?)*!"])
def test_patterns_made_to_explode_do_not(pattern: str) -> None:
    one, began = regex.Pattern(pattern), time.process_time()
    one.found_in("a" * filters.MATCHED_CHARACTERS + "b")
    assert time.process_time() - began < 3.0


def test_memory_stays_bounded_when_states_are_many() -> None:
    one = regex.Pattern("(a|b)*a(a|b){12}c")
    text = "".join("ab"[bin(n).count("1") % 2] for n in range(40_000))
    assert one.found_in(text) is False
    assert one.found_in(text + "a" + "b" * 12 + "c") is True
    assert one._steps <= regex._MOST_STEPS + 1


@pytest.mark.parametrize(
    "pattern", ["(", "[z-a]", r"(a)\1", "a(?=b)", "(?<!a)b", "a{1001}", "(a{500}){500}", "(?>a)b", "a" * 1025]
)
def test_what_cannot_be_run_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(errors.InvalidArgument) as told:
        filters.compile_pattern(pattern)
    assert told.value.violations[0].field == "grep"
