"""A caller's regular expression, run by RE2.

Python's `re` backtracks: `(a+)+$` against thirty letters takes minutes, holds the interpreter lock all the while, and
so stops every other tail. RE2's time grows with the text only; back-references and look-around it refuses.
"""

import re2

from services.chassis import errors

LONGEST_PATTERN = 1024
MATCHED_CHARACTERS = 8192
_MOST_MEMORY = 1 << 20


class Pattern:
    """`found_in(text)` tells whether the expression matches anywhere in the head of `text`."""

    def __init__(self, text: str) -> None:
        """Raises errors.InvalidArgument with what is wrong and where."""
        size = len(text.encode())
        if size > LONGEST_PATTERN:
            raise _refusal(f"is longer than {LONGEST_PATTERN} bytes ({size})")
        try:
            self._compiled = re2.compile(text, _options())
        except re2.error as error:
            raise _refusal(_words(error)) from error

    def found_in(self, text: str) -> bool:
        head = text[:MATCHED_CHARACTERS].encode("utf-8", "replace")
        return self._compiled.search(head) is not None


def _options() -> "re2.Options":
    options = re2.Options()
    options.max_mem = _MOST_MEMORY
    options.log_errors = False  # it would print them on stderr
    options.never_capture = True
    return options


def _words(error: Exception) -> str:
    told = error.args[0] if error.args else "not a regular expression"
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _refusal(problem: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        f"grep: {problem[:200]}; use a shorter or simpler expression (RE2 syntax)",
        violations=[errors.Violation("grep", problem[:200])],
    )
