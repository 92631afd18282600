"""What can be wrong with a project, told as file:line:column, what was expected, what was found, and what to do."""

import dataclasses
from collections.abc import Sequence

from cortex_client import exceptions


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; both count from 1. Line 0 means the document was not read from a file."""

    line: int = 0
    column: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `path` is spelled as the user spelled it; `hint` says what to do, empty when that is plain."""

    path: str
    position: Position
    message: str
    hint: str = ""

    def describe(self, file: str) -> str:
        place = f"{file}:{self.position.line}:{self.position.column}" if self.position.line else file
        subject = f"{self.path}: " if self.path else ""
        return f"{place}: {subject}{self.message}" + (f" ({self.hint})" if self.hint else "")


class ProjectInvalid(exceptions.CortexError):
    """The project's files say something that cannot be deployed; `problems` lists all of it, in the file's order."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems, key=lambda p: (p.position.line, p.position.column)))
        super().__init__("\n".join(problem.describe(file) for problem in self.problems), reason="INVALID_PROJECT")


class BundleInvalid(exceptions.CortexError):
    """The project folder cannot be made into a bundle."""
