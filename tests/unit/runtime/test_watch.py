"""When a worker is due for a successor."""

import asyncio
import os
from types import SimpleNamespace
from typing import Any

from runtime import config, life, link, watch


async def test_before_the_numbers_of_its_requests_run_out() -> None:
    pool: Any = SimpleNamespace(settings=SimpleNamespace(worker=config.WorkerPolicy()), fork_server=None)
    worker = life.Life("w0", 0, pool)
    found = link.Link(1, pool, worker)
    found._number = watch.LAST_NUMBER
    process = SimpleNamespace(pid=os.getpid())
    worker.worker = SimpleNamespace(process=process, link=found, begun=0)  # type: ignore[assignment]  # a running one
    worker.loaded, worker.state, pool.lives = True, "READY", [worker]
    looking = asyncio.create_task(watch.Watch(pool).run())
    async with asyncio.timeout(5):
        await worker.due.wait()
    looking.cancel()
    assert worker.replace_for == "its request numbers run out"
