"""The object store that models come from."""

import pathlib
from collections.abc import Iterator

import pytest

from tests.fakes import object_store


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[object_store.Store]:
    with object_store.running(tmp_path / "objects") as made:
        yield made
