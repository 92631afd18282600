"""An object on its way to this disk: its room is set aside first, parts land in any order, and a journal knows which.

Whoever goes on after a kill or a reboot reads the journal. Data that may not have reached the disk before a reboot is
read again and compared with its sum.
"""

import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Callable

from awscrt import checksums

_READ_BYTES = 1 << 20

Sum = Callable[[memoryview | bytes, int], int]
SUMS: dict[str, tuple[Sum, Callable[[int, int, int], int]]] = {
    "crc64nvme": (checksums.crc64nvme, checksums.combine_crc64nvme),
    "crc32c": (checksums.crc32c, checksums.combine_crc32c),
    "crc32": (checksums.crc32, checksums.combine_crc32),
}


class DiskFull(Exception):
    """The disk has no room; `needed` bytes are missing."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"{needed} bytes are needed")
        self.needed = needed


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    index: int
    offset: int
    size: int


def part_size(size: int) -> int:
    """Large enough that the wait for a first byte does not count, small enough that all connections have work."""
    return (32 if size >= 256 << 20 else 8) << 20


class Partial:
    """One object. `algorithm` names the sum of its parts, so that they add up to what the store knows."""

    def __init__(self, path: pathlib.Path, size: int, algorithm: str, boot: str) -> None:
        """Opens it, or what an earlier try left of it. Raises DiskFull."""
        self.size = size
        self.algorithm = algorithm
        self._sum, self._combine = SUMS[algorithm]
        self._path = path
        self._journal_path = path.with_name(path.name + ".journal")
        step = part_size(size)
        self.parts = [Part(index, at, min(step, size - at)) for index, at in enumerate(range(0, size, step))]
        self._header = f"v1 {size} {step} {algorithm}"
        self._boot = boot
        self.done: dict[int, int] = {}  # index -> sum
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._allocate()
            self._recall()
            self._journal = self._journal_path.open("a", buffering=1)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def missing(self) -> list[Part]:
        return [part for part in self.parts if part.index not in self.done]

    @property
    def done_bytes(self) -> int:
        return sum(part.size for part in self.parts if part.index in self.done)

    def add(self, data: memoryview, crc: int) -> int:
        """The sum so far, with `data`."""
        return self._sum(data, crc)

    def write(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._file, data[done:], offset + done)

    def finish(self, part: Part, crc: int) -> None:
        """It is all here."""
        self._journal.write(f"{part.index} {crc}\n")
        self.done[part.index] = crc

    def total(self) -> int:
        """The sum of the whole object, from those of its parts."""
        total = 0
        for part in self.parts:
            total = self._combine(total, self.done[part.index], part.size) if part.index else self.done[part.index]
        return total

    def publish(self, target: pathlib.Path) -> os.stat_result:
        """Gives it its name: from here on it is a whole object, and read-only."""
        os.fchmod(self._file, 0o444)
        stat = os.fstat(self._file)
        self._path.replace(target)
        self.close()
        self._journal_path.unlink(missing_ok=True)
        return stat

    def discard(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)
        self._journal_path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._journal.close()
            self._file = -1

    def _allocate(self) -> None:
        if not self.size:
            return
        try:
            os.posix_fallocate(self._file, 0, self.size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(self.size) from None
            os.ftruncate(self._file, self.size)  # a file system that cannot set room aside

    def _recall(self) -> None:
        lines: list[str] = []
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines = self._journal_path.read_text().splitlines()
        if not lines or not lines[0].startswith(self._header + " "):
            self._journal_path.write_text(f"{self._header} {self._boot}\n")
            return
        survived = lines[0].rpartition(" ")[2] == self._boot
        for line in lines[1:]:
            with contextlib.suppress(ValueError, IndexError):  # the last line of a killed writer
                index, crc = map(int, line.split(" "))
                if survived or self._read_sum(self.parts[index]) == crc:
                    self.done[index] = crc
        if not survived:
            kept = "".join(f"{index} {crc}\n" for index, crc in self.done.items())
            self._journal_path.write_text(f"{self._header} {self._boot}\n{kept}")

    def _read_sum(self, part: Part) -> int:
        crc, at = 0, part.offset
        while at < part.offset + part.size:
            data = os.pread(self._file, min(_READ_BYTES, part.offset + part.size - at), at)
            crc = self._sum(data, crc)
            at += len(data)
        return crc
