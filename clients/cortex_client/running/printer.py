"""What `cortex run` says, written by a thread of its own.

A terminal that was halted (Ctrl-S) or a pipe that nobody reads takes nothing more, and requests pass through this very
process: they must not wait for it. What finds no room is counted, and the number is said once there is room again.
"""

import queue
import threading

import click

_MOST_LINES = 10_000


class Printer:
    def __init__(self) -> None:
        self._lines: queue.Queue[tuple[str, bool] | None] = queue.Queue(_MOST_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def out(self, text: str) -> None:
        """A line of the user's code, for stdout."""
        self._put(text, err=False)

    def err(self, text: str) -> None:
        self._put(text, err=True)

    def note(self, text: str) -> None:
        """A word of the command itself."""
        self.err(click.style("cortex: ", dim=True) + text)

    def close(self, seconds: float) -> bool:
        """Whether all has been said within that time."""
        try:
            self._lines.put(None, timeout=seconds)
        except queue.Full:
            return False
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _put(self, text: str, *, err: bool) -> None:
        try:
            self._lines.put_nowait((text, err))
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            text, err = line
            self._write(text, err=err)
            if self._dropped and self._lines.empty():
                dropped, self._dropped = self._dropped, 0
                self._write(click.style("cortex: ", dim=True) + f"{dropped} lines found no room here", err=True)

    def _write(self, text: str, *, err: bool) -> None:
        try:
            click.echo(text, err=err)
        except UnicodeEncodeError:  # letters that this terminal has not
            click.echo(text.encode("ascii", "backslashreplace"), err=err)
        except OSError:
            return  # nobody reads any more; what is served is served
