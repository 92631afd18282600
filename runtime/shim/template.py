"""The predictor, constructed once and then forked with all that it has loaded (worker.start: fork-loaded).

There is no thread here, as none would survive a fork: what the constructor asks of the front is answered on the thread
that asks. Sockets belong to one process, so each worker puts its own into the objects that it inherits.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from . import asks, control, loader, logs, preload

NAME = "template"
_SHARED = (
    "the constructor left open: {}. All workers now share it, and a connection that two of them use breaks: "
    "close it there, or open it in after_fork(self)"
)


class Template:
    """Raises loader.LoadError, and preload.Unusable when what was loaded cannot be forked."""

    def __init__(self, setup: dict[str, Any], control_fd: int, log_fd: int) -> None:
        commands, lines = (socket.socket(fileno=fd) for fd in (control_fd, log_fd))
        for sock in (commands, lines):
            os.set_inheritable(sock.fileno(), False)
        self._inherited = (commands, lines)
        self.channel = logs.LogChannel(lines, NAME, setup["log_level"])
        self.out = logs.install(self.channel)
        self.asker = asks.Asker(commands, listens=False)
        self._registry: control.Registry | None = None
        self.service = loader.load_service(setup)
        self.cls = loader.load_class(setup, self.service)
        before = preload.shared_descriptors()
        named = {**setup, "worker": NAME}
        self.contract = loader.construct(self.cls, named, self.asker, self.service, self._is_active)
        preload.check_forkable("the constructor")
        opened = preload.shared_descriptors() - before
        if opened:
            self.channel.emit("warning", _SHARED.format(", ".join(sorted(opened))), "logging", {"logger": "cortex"})

    def enter(
        self, setup: dict[str, Any], commands: socket.socket, lines: socket.socket, registry: control.Registry
    ) -> None:
        """In the worker: what was the template's is the worker's from here on."""
        self._registry = registry
        self.channel.move(lines, setup["worker"])
        self.asker.move(commands, setup["worker"])
        for sock in self._inherited:
            sock.close()

    def after_fork(self) -> Any:
        """Runs the user's `after_fork()`, and returns what it returns. Raises loader.LoadError."""
        function = getattr(self.contract.instance, "after_fork", None)
        return None if function is None else loader.guarded(function)

    async def after_fork_async(self) -> None:
        """The same, where it may be a coroutine."""
        waited = self.after_fork()
        if hasattr(waited, "__await__"):
            await loader.guarded_async(waited)

    def _is_active(self, number: int) -> bool:
        return self._registry is not None and self._registry.holds(number)
