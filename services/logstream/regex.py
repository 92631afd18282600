"""Regular expressions whose time grows with the text and never explodes: the pattern comes from a caller.

Python's `re` backtracks: `(a+)+$` against thirty letters takes minutes, holds the interpreter lock all the while, and
so stops every other tail. Patterns in which nothing repeats a variable number of times cannot do that and run in `re`.
The others become a Thompson automaton whose steps are remembered (a lazy DFA; Cox, "Regular Expression Matching Can Be
Simple And Fast", 2007): one look-up per character. Back-references and look-around have no automaton and are refused,
as RE2 does. Parsing is left to `re` itself.
"""

import importlib
import re
from typing import Any

from services.logstream import nfa

_parser: Any = importlib.import_module("re._parser")  # its public name, sre_parse, is deprecated and warns
_MOST_STEPS = 20_000
_SHORT = 512


class PatternError(ValueError):
    """The pattern is no regular expression, or none we run."""


class Pattern:
    """`found_in(text)` tells whether the expression matches anywhere in `text`."""

    def __init__(self, text: str) -> None:
        try:
            tree = _parser.parse(text)
            self._re = re.compile(text)
            self._nfa = nfa.build(tree)
        except (re.error, RecursionError, OverflowError) as error:
            raise PatternError(f"does not parse: {error}") from error
        except nfa.Unsupported as error:
            raise PatternError(str(error)) from error
        self._variable = nfa.variable_repeats(tree)
        self._forget()

    def found_in(self, text: str) -> bool:
        # One variable repeat costs at most the square of the text's length, which for a short text is nothing.
        if self._variable == 0 or (self._variable == 1 and len(text) <= _SHORT):
            return self._re.search(text) is not None
        return self._run(text)

    def _run(self, text: str) -> bool:
        state, tables = 0, self._tables
        for character in text:
            following = tables[state].get(character)
            if following is None:
                following = self._step(state, character)
                if self._steps > _MOST_STEPS:
                    state = self._restart(following)
                    tables = self._tables
                    continue
            if following < 0:
                return True
            state = following
        return self._nfa.accepts_at_end(*self._states[state])

    def _step(self, state: int, character: str) -> int:
        """The state after `character`; -1 when a match is complete."""
        reached = self._nfa.step(*self._states[state], character)
        if reached is None:
            number = -1
        else:
            number = self._numbers.setdefault(reached, len(self._states))
            if number == len(self._states):
                self._states.append(reached)
                self._tables.append({})
        self._tables[state][character] = number
        self._steps += 1
        return number

    def _restart(self, state: int) -> int:
        """Forgets all steps but where we are: memory stays bounded for patterns with a great many states."""
        if state < 0:
            return state
        here = self._states[state]
        self._forget()
        self._numbers[here] = 1
        self._states.append(here)
        self._tables.append({})
        return 1

    def _forget(self) -> None:
        start = self._nfa.start()
        self._states: list[nfa.State] = [start]
        self._numbers: dict[nfa.State, int] = {start: 0}
        self._tables: list[dict[str, int]] = [{}]
        self._steps = 0
