"""One file of one replica, read forward line by line. A log that is rotated is a row of such files.

A file is known by its inode and by a checksum of its first bytes, since inodes are used again. A last line without its
newline is still being written and is left for later.
"""

import collections
import contextlib
import os
import pathlib
import zlib
from collections.abc import Iterable

from services.logstream import model

LONGEST_LINE = 1024 * 1024
_HEAD = 128
Raw = tuple[int, bytes, int]  # where the line starts, its bytes (at most LONGEST_LINE), its full length


class Generation:
    """`offset` is the first byte not read. `pending` holds what was read and has not left yet, in the file's order."""

    def __init__(self, path: pathlib.Path, status: os.stat_result, offset: int = 0, ahead: Iterable[int] = ()) -> None:
        self.path = path
        self.inode = status.st_ino
        self.size = status.st_size
        self.mtime = status.st_mtime
        self.offset = offset
        self.ahead = set(ahead)
        self.pending: collections.deque[model.Entry] = collections.deque()
        self.final = False
        self._fragment_size = -1
        self._scanned = 0
        self._fd = -1
        self._head = b""

    @property
    def unread(self) -> bool:
        return self.offset < self.size and self._fragment_size != self.size

    def open(self) -> None:
        """Raises OSError. Following no link: a log folder is written by user code's neighbours."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            if os.fstat(self._fd).st_ino != self.inode:
                self.close()
                raise FileNotFoundError(f"{self.path} was replaced")
            head = os.pread(self._fd, _HEAD, 0)
            if not head.startswith(self._head):
                self.offset, self.ahead = 0, set()  # another file under a used-again inode
            self._head = head
        elif len(self._head) < _HEAD:
            self._head = os.pread(self._fd, _HEAD, 0)

    def finish(self) -> None:
        """Nothing will be appended: a last line without newline is as whole as it gets."""
        if not self.final:
            self.final, self._fragment_size = True, -1

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def refresh(self) -> None:
        """Learns the size. An open file is asked itself, so that it is read to its end even when it was removed."""
        with contextlib.suppress(OSError):
            status = os.fstat(self._fd) if self._fd >= 0 else self.path.lstat()
            if status.st_ino == self.inode:
                self.size, self.mtime = status.st_size, status.st_mtime

    def read(self, most: int) -> list[Raw]:
        """Whole lines, about `most` bytes of them. Raises OSError."""
        self.open()
        data = os.pread(self._fd, min(most, self.size - self.offset), self.offset)
        end = data.rfind(b"\n")
        if end < 0:
            return self._long_line()
        lines, start = [], self.offset
        for line in data[:end].split(b"\n"):
            lines.append((start, line, len(line)))
            start += len(line) + 1
        self.offset = start
        return lines

    def read_at(self, start: int, length: int) -> bytes:
        self.open()
        return os.pread(self._fd, length, start)

    def skip_to(self, keep: int) -> int:
        """Leaves out lines until about `keep` bytes are unread. Returns how many were left out."""
        self.open()
        skipped = 0
        while self.offset < self.size - keep:
            data = os.pread(self._fd, min(1 << 20, self.size - keep - self.offset), self.offset)
            end = data.rfind(b"\n")
            if end < 0:
                break
            skipped += data.count(b"\n")
            self.offset += end + 1
        return skipped

    def low(self) -> int:
        """Everything before this byte has left."""
        while self.pending and self.pending[0].sent:
            self.pending.popleft()
        return self.pending[0].start if self.pending else self.offset

    def position(self) -> list[int]:
        """[inode, low, checksum, starts of lines beyond `low` that have left too]."""
        low = self.low()
        beyond = [entry.start for entry in self.pending if entry.sent]
        beyond += sorted(start for start in self.ahead if start >= self.offset)
        return [self.inode, low, self.checksum(low), *beyond]

    def checksum(self, upto: int) -> int:
        """Of the first bytes, as far as `upto`: appending changes nothing about it."""
        with contextlib.suppress(OSError):
            self.open()
        return zlib.crc32(self._head[: min(upto, _HEAD)])

    def _long_line(self) -> list[Raw]:
        """No newline in the chunk: either the line is long, or it is not finished."""
        scan = max(self.offset, self._scanned)
        while scan < self.size:
            data = os.pread(self._fd, min(1 << 20, self.size - scan), scan)
            found = data.find(b"\n")
            if found >= 0:
                return [self._take(scan + found, 1)]
            if not data:
                break
            scan += len(data)
        self._scanned, self._fragment_size = scan, self.size
        return [self._take(self.size, 0)] if self.final and self.offset < self.size else []

    def _take(self, end: int, newline: int) -> Raw:
        start, length = self.offset, end - self.offset
        self.offset = end + newline
        return start, os.pread(self._fd, min(length, LONGEST_LINE), start), length
