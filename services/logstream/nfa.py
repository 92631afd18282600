"""A Thompson automaton built from the tree that Python's own regular-expression parser makes.

A state is a set of nodes not yet closed over empty moves, with what came before them: whether `^`, `$` and `\\b` hold
is known only once the next character is seen, so the closure is taken when stepping.
"""

import re
from collections.abc import Callable
from typing import Any

State = tuple[frozenset[int], int]
_BEGIN, _OTHER, _WORD, _NEWLINE = range(4)
_MOST_NODES = 1000
_FOLD = re.IGNORECASE.value
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda c: c.isalnum() or c == "_",
}
_AT = {"AT_BEGINNING", "AT_BEGINNING_STRING", "AT_END", "AT_END_STRING", "AT_BOUNDARY", "AT_NON_BOUNDARY"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}


class Unsupported(ValueError):
    """The expression needs more than an automaton can do, or a larger one than we allow."""


def build(tree: Any) -> "Nfa":
    automaton = Nfa()
    automaton.final = automaton.node()
    automaton.first = automaton.sequence(tree, automaton.final, tree.state.flags)
    return automaton


def variable_repeats(tree: Any) -> int:
    """How many parts may repeat a variable number of times; one inside another counts as many."""
    total = 0
    for operator, argument in tree:
        name = str(operator)
        if name in _REPEATS:
            inner = variable_repeats(argument[2])
            body_varies = inner or any(str(op) not in ("LITERAL", "NOT_LITERAL", "IN", "ANY") for op, _ in argument[2])
            total += (100 if body_varies else 1) if argument[0] != argument[1] else inner * argument[1]
        elif name == "SUBPATTERN":
            total += variable_repeats(argument[3])
        elif name == "BRANCH":
            total += sum(variable_repeats(branch) for branch in argument[1])
    return total


class Nfa:
    """Nodes are numbers. `tests[n]` and `moves[n]`: the one step on a character; `empty[n]`: steps without one."""

    def __init__(self) -> None:
        self.tests: list[Callable[[str], bool] | None] = []
        self.moves: list[int] = []
        self.empty: list[list[tuple[str, int]]] = []
        self.first = self.final = 0

    def node(self, test: Callable[[str], bool] | None = None, move: int = -1) -> int:
        if len(self.tests) >= _MOST_NODES:
            raise Unsupported("repeats too much")
        self.tests.append(test)
        self.moves.append(move)
        self.empty.append([])
        return len(self.tests) - 1

    def fork(self, *targets: int) -> int:
        here = self.node()
        self.empty[here] = [("", target) for target in targets]
        return here

    def start(self) -> State:
        return frozenset([self.first]), _BEGIN

    def step(self, nodes: frozenset[int], before: int, character: str) -> State | None:
        """None when a match ends before `character`. The search is unanchored: it may begin anew at every place."""
        closed = self._close(nodes, before, character)
        if self.final in closed:
            return None
        reached = {self.moves[n] for n in closed if (test := self.tests[n]) is not None and test(character)}
        kind = _WORD if _CATEGORIES["CATEGORY_WORD"](character) else _NEWLINE if character == "\n" else _OTHER
        return frozenset(reached | {self.first}), kind

    def accepts_at_end(self, nodes: frozenset[int], before: int) -> bool:
        return self.final in self._close(nodes, before, "")

    def _close(self, nodes: frozenset[int], before: int, after: str) -> set[int]:
        found, waiting = set(nodes), list(nodes)
        while waiting:
            for condition, target in self.empty[waiting.pop()]:
                if target not in found and (not condition or _holds(condition, before, after)):
                    found.add(target)
                    waiting.append(target)
        return found

    def sequence(self, tree: Any, target: int, flags: int) -> int:
        for operator, argument in reversed(list(tree)):
            target = self._item(str(operator), operator, argument, target, flags)
        return target

    def _item(self, name: str, operator: Any, argument: Any, target: int, flags: int) -> int:
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self.node(_test(name, argument, flags), target)
        if name == "SUBPATTERN":
            _, added, removed, body = argument
            return self.sequence(body, target, (flags | added) & ~removed)
        if name == "BRANCH":
            return self.fork(*[self.sequence(branch, target, flags) for branch in argument[1]])
        if name in _REPEATS:
            return self._repeat(argument, target, flags)
        if name == "AT" and str(argument) in _AT:
            here = self.node()
            line = "LINE_" if flags & re.MULTILINE.value and str(argument) in ("AT_BEGINNING", "AT_END") else ""
            self.empty[here] = [(line + str(argument), target)]
            return here
        raise Unsupported(f"uses {name.lower().replace('_', ' ')}, which cannot be matched in linear time")

    def _repeat(self, argument: Any, target: int, flags: int) -> int:
        least, most, body = argument
        unbounded = str(most) == "MAXREPEAT"
        if unbounded:
            again = self.fork()
            self.empty[again] = [("", self.sequence(body, again, flags)), ("", target)]
            target = again
        elif int(most) > _MOST_NODES:
            raise Unsupported("repeats too much")
        for _ in range(0 if unbounded else int(most) - int(least)):
            target = self.fork(self.sequence(body, target, flags), target)
        for _ in range(min(int(least), _MOST_NODES + 1)):
            target = self.sequence(body, target, flags)
        return target


def _holds(condition: str, before: int, after: str) -> bool:
    """In `re`, `$` also holds before a newline that ends the text; a message is one line to us, so not here."""
    if condition in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
        return before == _BEGIN
    if condition in ("AT_END", "AT_END_STRING"):
        return after == ""
    if condition == "LINE_AT_BEGINNING":
        return before in (_BEGIN, _NEWLINE)
    if condition == "LINE_AT_END":
        return after in ("", "\n")
    boundary = (before == _WORD) != (after != "" and _CATEGORIES["CATEGORY_WORD"](after))
    return boundary == (condition == "AT_BOUNDARY")


def _test(name: str, argument: Any, flags: int) -> Callable[[str], bool]:
    if name == "ANY":
        return (lambda c: True) if flags & re.DOTALL.value else (lambda c: c != "\n")
    parts = [("LITERAL", argument)] if name in ("LITERAL", "NOT_LITERAL") else argument
    tests = [_part(str(kind), value) for kind, value in parts if str(kind) != "NEGATE"]
    wanted = not (name == "NOT_LITERAL" or (name == "IN" and str(parts[0][0]) == "NEGATE"))
    if flags & _FOLD:
        return lambda c: any(t(c.lower()) or t(c.upper()) for t in tests) == wanted
    return lambda c: any(t(c) for t in tests) == wanted


def _part(kind: str, value: Any) -> Callable[[str], bool]:
    if kind == "LITERAL":
        return lambda c: c == chr(value)
    if kind == "RANGE":
        low, high = value
        return lambda c: low <= ord(c[0]) <= high
    name = str(value)
    if name.replace("_NOT_", "_") in _CATEGORIES:
        test, wanted = _CATEGORIES[name.replace("_NOT_", "_")], "_NOT_" not in name
        return lambda c: test(c) == wanted
    raise Unsupported(f"uses {name.lower()}, which is not known")
