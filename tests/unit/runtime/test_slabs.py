"""Places for large bodies: who holds a loan has its bytes to itself."""

import pytest

from runtime import slabs
from runtime.shim import shared


@pytest.fixture
def slab() -> slabs.Slab:
    made = slabs.make()
    if made is None:
        pytest.skip("no anonymous files here")
    return made


def taken(slab: slabs.Slab, size: int) -> slabs.Loan:
    loan = slab.take(size)
    assert loan is not None
    return loan


def test_a_worker_reads_what_the_front_wrote(slab: slabs.Slab) -> None:
    loan = taken(slab, 200_000)
    for part in (b"a" * 150_000, b"b" * 50_000):
        loan.fill(part)
    place = shared.PLACE.pack(loan.offset, loan.size)
    whole = b"a" * 150_000 + b"b" * 50_000
    assert shared.Bodies(dict(slab.told)).read(place) == whole == bytes(loan)


def test_two_loans_never_overlap_and_a_returned_place_is_used_again(slab: slabs.Slab) -> None:
    first, second = taken(slab, 100_000), taken(slab, 100_000)
    assert abs(first.offset - second.offset) >= 100_000
    place = first.offset
    del first
    assert taken(slab, 120_000).offset == place


def test_what_has_no_place_goes_another_way(slab: slabs.Slab) -> None:
    assert slab.take(slabs.LEAST_BYTES - 1) is None
    assert slab.take(17 * 1024 * 1024) is None
    held = [slab.take(16 * 1024 * 1024) for _ in range(17)]
    assert held[-1] is None and None not in held[:-1]
    held.clear()
    assert slab.take(16 * 1024 * 1024) is not None


def test_memory_of_places_that_are_not_used_is_given_back(slab: slabs.Slab) -> None:
    loans = [taken(slab, 16 * 1024 * 1024) for _ in range(8)]
    for loan in loans:
        loan.fill(b"x" * loan.size)
    offsets = [loan.offset for loan in loans]
    loans.clear()
    del loan
    kept = sum(slab.memory[offset : offset + 1] == b"x" for offset in offsets)
    assert kept <= 2
