"""Finds where the newest N wanted lines begin without reading the files before that: backwards from their ends."""

import heapq
import itertools
from collections.abc import Iterator, Sequence

from services.logstream import filters, generation, parse, replica

_BLOCK = 64 * 1024
Found = tuple[int, int, int, generation.Generation]  # time, minus how many were seen before, start, file


def start_at_newest(replicas: Sequence[replica.Replica], count: int, wanted: filters.Filter, slack_ns: int) -> None:
    """Moves every file's offset to the first of the newest `count` wanted lines of all replicas together."""
    newest: list[Found] = []
    order = itertools.count(0, -1)
    seen: dict[int, list[int]] = {}
    for one in sorted(replicas, key=lambda r: max((p.mtime for p in r.generations), default=0.0), reverse=True):
        _collect(one, count, wanted, slack_ns, newest, seen, order)
    kept: dict[int, list[int]] = {}
    for _, _, start, part in newest:
        kept.setdefault(id(part), []).append(start)
    for one in replicas:
        for part in one.generations:
            starts = kept.get(id(part), [])
            part.offset = min(starts, default=_whole_lines(part))
            # Lines of one file are not always in order of time: one between two kept ones may be older than both.
            part.ahead = {s for s in seen.get(id(part), ()) if s > part.offset} - set(starts)


def _collect(
    one: replica.Replica, count: int, wanted: filters.Filter, slack_ns: int,
    newest: list[Found], seen: dict[int, list[int]], order: Iterator[int],
) -> None:  # fmt: skip
    for part in reversed(one.generations):
        fallback = int(part.mtime * 1e9)
        for start, raw in lines_backwards(part):
            if not wanted.may_accept(raw):
                continue
            entry = parse.parse(raw, fallback)
            fallback = entry.time_ns
            if entry.time_ns < wanted.since_ns - slack_ns:
                return
            if len(newest) == count and entry.time_ns < newest[0][0] - slack_ns:
                return
            # Losses are not lines: they do not count, and are not worth going back further for.
            if entry.loss or not wanted.accepts(entry):
                continue
            seen.setdefault(id(part), []).append(start)
            found = (entry.time_ns, next(order), start, part)
            if len(newest) < count:
                heapq.heappush(newest, found)
            else:
                heapq.heappushpop(newest, found)


def lines_backwards(part: generation.Generation) -> Iterator[tuple[int, bytes]]:
    """Whole lines from the last to the first: where each starts, and at most LONGEST_LINE of its bytes."""
    end = _whole_lines(part)  # just after a newline
    block_start, block = end, b""
    position = end - 1  # the newline that ends the line we look for
    while end > 0:
        found = block.rfind(b"\n", 0, max(0, position - block_start))
        while found < 0 and block_start > 0:
            length = min(_BLOCK, block_start)
            block_start -= length
            data = part.read_at(block_start, length)
            # Only the current line's part of the block is carried on; a giant line is fetched by its head below.
            block = data + block[: min(end - block_start - length, generation.LONGEST_LINE)]
            found = data.rfind(b"\n", 0, max(0, position - block_start))
        start = block_start + found + 1 if found >= 0 else 0
        length = min(end - 1 - start, generation.LONGEST_LINE)
        raw = block[start - block_start : start - block_start + length]
        if len(raw) < length:
            raw = part.read_at(start, length)
        if raw:
            yield start, raw
        end, position = start, start - 1


def _whole_lines(part: generation.Generation) -> int:
    """Size of the file without a last line that is still being written."""
    position = part.size
    while position > 0:
        length = min(_BLOCK, position)
        found = part.read_at(position - length, length).rfind(b"\n")
        if found >= 0:
            return position - length + found + 1
        position -= length
    return 0
