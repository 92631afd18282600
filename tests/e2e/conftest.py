"""One cluster for the tests of a module; a test that breaks it starts its own."""

from collections.abc import Iterator

import pytest

from tests.e2e import cluster as clusters


@pytest.fixture(scope="module")
def cluster() -> Iterator[clusters.Cluster]:
    with clusters.running() as running:
        yield running
