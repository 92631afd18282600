"""The log of one replica: the file it writes, and the one before it (`.1`), as one row of lines.

Rotation renames the file and begins a new one. Both are found by inode, the older is read to its end first, and when a
file is gone that was not read to its end, the row says so with a loss: never silence.
"""

import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from services.logstream import filters, generation, model, parse

_IDLE_SECONDS = 60.0
_FIRST_LINE = 64 * 1024


class Replica:
    """`high_ns` is the newest time read; what is still unread is taken to be no older (within the merge window)."""

    def __init__(self, revision: str, replica: str, path: pathlib.Path) -> None:
        self.revision = revision
        self.id = replica
        self.key = f"{revision}/{replica}"
        self.generations: list[generation.Generation] = []
        self.high_ns = 0
        self.losses: list[model.Entry] = []
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._last_ns = 0

    @property
    def unread(self) -> bool:
        return any(part.unread for part in self.generations)

    def began_before(self, time_ns: int) -> bool:
        """Whether the first line that is left of it is older."""
        for part in self.generations:
            with contextlib.suppress(OSError):
                raw, newline, _ = part.read_at(0, _FIRST_LINE).partition(b"\n")
                return parse.parse(raw, int(part.mtime * 1e9), cut=not newline).time_ns < time_ns
        return False

    @property
    def gone(self) -> bool:
        return not self.generations and not self.losses

    def unread_bytes(self) -> int:
        return sum(part.size - part.offset for part in self.generations)

    def resume(self, positions: Sequence[Any]) -> None:
        """Goes on from what `position` returned. Whatever of it is not on disk any more becomes a loss."""
        found = self._on_disk()
        matched, known = 0, set()
        for part in found:
            for index, (inode, low, checksum, *ahead) in enumerate(positions):
                same = (inode == part.inode or low > 0) and low <= part.size and part.checksum(low) == checksum
                if same and index >= matched:
                    part.offset, part.ahead, matched = low, set(ahead), index + 1
                    known.add(part.inode)
                    break
        if positions and matched < len(positions):
            self.lose("its log was rotated or replaced since; lines in between may be missing")
        elif len(found) == 2 and known == {found[1].inode}:
            found[0].offset = found[0].size  # older than anything the token knew
        self.generations = found

    def refresh(self, now: float) -> None:
        """Looks at the disk: what grew, what was rotated."""
        for part in self.generations:
            part.refresh()
        known = {part.inode: part for part in self.generations}
        found = self._on_disk(known)
        fresh = [part for part in found if part.inode not in known]
        if self.generations and len(fresh) == 2:
            self.lose("its log was rotated faster than it was read; lines may be missing")
        kept = [part for part in self.generations if part in found or self._unfinished(part)]
        self.generations = kept + fresh
        for part in self.generations[:-1]:
            part.finish()
        for part in self.generations:
            if part.offset > part.size:
                self.lose("its log was cut short; lines may be missing")
                part.offset = 0
            if not part.unread and now - part.mtime > _IDLE_SECONDS:
                part.close()

    def lose(self, reason: str, lines: int = 0) -> None:
        entry = model.Entry(time_ns=self._last_ns, replica=self.id, revision=self.revision, loss=reason, lost=lines)
        self.losses.append(entry)

    def take_losses(self) -> list[model.Entry]:
        taken, self.losses = self.losses, []
        return taken

    def skip(self, keep: int) -> None:
        """Leaves the oldest unread lines out, and tells how many."""
        skipped = sum(part.skip_to(keep) for part in self.generations)
        if skipped:
            self.lose("you read slower than the replica writes; the oldest lines were left out", skipped)

    def read(self, most: int, wanted: filters.Filter) -> list[model.Entry]:
        """The next entries that are wanted, from about `most` bytes."""
        entries = self.take_losses()
        part = next((part for part in self.generations if part.unread), None)
        if part is None:
            return entries
        try:
            lines = part.read(most)
        except OSError:
            part.offset = part.size
            self.lose("its log was removed before it was read")
            return entries + self.take_losses()
        self._last_ns = self._last_ns or int(part.mtime * 1e9)
        for start, raw, length in lines:
            if raw:
                self._one(part, start, raw, length, wanted, entries)
        self.high_ns = max(self.high_ns, self._last_ns)
        return entries

    def position(self) -> list[list[int]]:
        return [part.position() for part in self.generations]

    def close(self) -> None:
        for part in self.generations:
            part.close()

    def _one(
        self, part: generation.Generation, start: int, raw: bytes, length: int,
        wanted: filters.Filter, entries: list[model.Entry],
    ) -> None:  # fmt: skip
        if part.ahead and start in part.ahead:
            part.ahead.discard(start)
            part.pending.append(model.Entry(time_ns=0, start=start, sent=True))
            return
        if not wanted.may_accept(raw):
            return
        cut = length > len(raw)
        entry = parse.parse(raw, self._last_ns, cut=cut)
        self._last_ns = entry.time_ns
        self.high_ns = max(self.high_ns, entry.time_ns)
        if not wanted.accepts(entry):
            return
        entry.replica, entry.revision, entry.start = self.id, self.revision, start
        part.pending.append(entry)
        entries.append(entry)
        if cut:
            reason = f"a line of {length} bytes was cut to {len(raw)}"
            entries.append(model.Entry(time_ns=entry.time_ns, replica=self.id, revision=self.revision, loss=reason))

    def _unfinished(self, part: generation.Generation) -> bool:
        """Whether a file that is not on disk any more still has something to give, or something that has not left."""
        part.finish()
        part.low()
        return part.unread or bool(part.pending)

    def _on_disk(self, known: dict[int, generation.Generation] | None = None) -> list[generation.Generation]:
        """The older file first. A file rotated between the two looks is seen once, by its inode."""
        found: dict[int, generation.Generation] = {}
        for path in (self._older, self._path):
            try:
                status = os.lstat(path)
            except OSError:
                continue
            part = (known or {}).get(status.st_ino) or generation.Generation(path, status)
            part.path, part.size, part.mtime = path, status.st_size, status.st_mtime
            found[status.st_ino] = part
        return list(found.values())
