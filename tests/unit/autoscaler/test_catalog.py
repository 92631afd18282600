"""What is known of the APIs, how old it may be, and the bell."""

import dataclasses

from services.autoscaler import catalog, model

A = model.Api("namespaces/default/apis/a", "u1", model.Scaling(), 120.0, 1, 1, 1)
B = dataclasses.replace(A, name="namespaces/default/apis/b")


def test_knowledge_ages_only_while_the_stream_is_down() -> None:
    known = catalog.Catalog()
    assert not known.synced and not known.fresh(0.0)
    known.connected(100.0)
    assert known.synced and known.fresh(10_000.0)
    known.disconnected(10_000.0)
    assert known.fresh(10_010.0) and not known.fresh(10_010.1)
    # Trying in vain does not make it younger.
    known.disconnected(10_020.0)
    assert not known.fresh(10_021.0)


def test_what_the_whole_state_does_not_name_is_gone() -> None:
    known = catalog.Catalog()
    known.put(A)
    known.put(B)
    bell = known.bell(B.name)
    known.keep_only([A.name])
    assert list(known.apis()) == [A.name] and bell.is_set()


async def test_the_bell_rings_for_one_change_of_one_api() -> None:
    known = catalog.Catalog()
    first, other = known.bell(A.name), known.bell(B.name)
    known.put(A)
    assert first.is_set() and not other.is_set()
    assert known.bell(A.name) is not first
