"""One bench per test: an Envoy starts in a quarter of a second, and no test inherits another's connections."""

import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.gateway import rig as rigs


@pytest_asyncio.fixture
async def rig(tmp_path: pathlib.Path) -> AsyncIterator[rigs.Rig]:
    async with rigs.running(tmp_path) as bench:
        yield bench
