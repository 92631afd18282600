"""Live phases of a deploy on stderr: a small table redrawn on a terminal, plain lines elsewhere."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import click

from cortex_client.cli import output
from cortex_client.rollouts import Phase, Step


@dataclasses.dataclass
class _Row:
    step: Step
    detail: str
    began: float
    ended: float = 0.0

    def elapsed(self, now: float) -> str:
        if self.step is Step.WAITING:
            return ""
        return f"{(self.ended or now) - self.began:.1f}s"


class Progress:
    """Use in `with`; `update` as often as anything is known."""

    def __init__(self, *, live: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._live = _live_region(self._render) if live else None

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.refresh()
            self._live.stop()

    def running(self, name: str, detail: str = "") -> None:
        self.update([Phase(name, Step.RUNNING, detail)])

    def done(self, name: str, detail: str = "") -> None:
        self.update([Phase(name, Step.DONE, detail)])

    def update(self, phases: Sequence[Phase]) -> None:
        for phase in phases:
            before = self._rows.get(phase.name)
            row = self._changed(before, phase)
            if before is not None and (before.step, before.detail) == (row.step, row.detail):
                continue
            self._rows[phase.name] = row
            if self._live is None and phase.step is not Step.WAITING:
                self._print(phase.name, before)

    def section(self, title: str) -> None:
        """The phases that follow belong to `title`; those before it stay on the screen."""
        if self._live is not None:
            self._live.console.print(self._render())
        self._rows.clear()
        self.say(f"{title}:")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the terminal to a question."""
        if self._live is not None:
            self._live.stop()
        yield
        if self._live is not None:
            self._live.start()

    def say(self, text: str) -> None:
        """A line above the phases."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            output.note(text)

    def _changed(self, before: _Row | None, phase: Phase) -> _Row:
        now = self._clock()
        was_waiting = before is None or before.step is Step.WAITING
        began = now if was_waiting or before is None else before.began
        detail = phase.detail or (before.detail if before and phase.step is Step.DONE and phase.name == "ready" else "")
        return _Row(phase.step, detail, began, now if phase.step is Step.DONE else 0.0)

    def _print(self, name: str, before: _Row | None) -> None:
        """Off a terminal: one line when a phase ends, and one for each thing it says on the way."""
        row = self._rows[name]
        if row.step is Step.DONE or row.detail:
            mark = "ok" if row.step is Step.DONE else ".."
            output.note(f"  {mark} {name:<12}{row.elapsed(self._clock()):>7}  {row.detail}".rstrip())

    def _render(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        marks = {Step.DONE: ("✓", "green"), Step.RUNNING: ("•", "yellow"), Step.WAITING: ("·", "dim")}
        now = self._clock()
        for name, row in self._rows.items():
            mark, style = marks[row.step]
            cells = (f"  {mark}", name, row.elapsed(now), row.detail)
            table.add_row(*(Text(cell, style=style if column == 0 else "") for column, cell in enumerate(cells)))
        return table


def _live_region(render: Callable[[], Any]) -> Any:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), get_renderable=render, refresh_per_second=8)


def wanted() -> bool:
    """Whether stderr is a terminal that can redraw and may be coloured."""
    context = click.get_current_context(silent=True)
    return sys.stderr.isatty() and (context is None or context.color is not False)
