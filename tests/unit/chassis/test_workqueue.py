import asyncio
import random

from services.chassis import backoff, workqueue


def make(first: float = 0.001) -> workqueue.WorkQueue:
    return workqueue.WorkQueue(backoff.Backoff(first=first, longest=0.01), random.Random(0))


async def drive(queue: workqueue.WorkQueue, handle: object, until: asyncio.Event, workers: int = 2) -> None:
    tasks = [asyncio.create_task(queue.work(handle)) for _ in range(workers)]  # type: ignore[arg-type]
    try:
        await asyncio.wait_for(until.wait(), 5)
    finally:
        for task in tasks:
            task.cancel()


async def test_a_waiting_key_is_worked_on_once() -> None:
    queue, seen, done = make(), [], asyncio.Event()

    async def handle(key: str) -> None:
        seen.append(key)
        if key == "last":
            done.set()

    for key in ("a", "a", "b", "a", "last"):
        queue.add(key)
    await drive(queue, handle, done, workers=1)
    assert seen == ["a", "b", "last"]


async def test_a_key_added_while_worked_on_is_worked_on_again_and_never_twice_at_a_time() -> None:
    queue, running, runs, done = make(), 0, 0, asyncio.Event()

    async def handle(key: str) -> None:
        nonlocal running, runs
        running += 1
        assert running == 1
        if runs == 0:
            queue.add(key)
        await asyncio.sleep(0)
        running -= 1
        runs += 1
        if runs == 2:
            done.set()

    queue.add("a")
    await drive(queue, handle, done)
    assert runs == 2


async def test_a_failing_key_comes_back() -> None:
    queue, tries, done = make(), 0, asyncio.Event()

    async def handle(key: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("not yet")
        done.set()

    queue.add("a")
    await drive(queue, handle, done)
    assert tries == 3


async def test_the_earlier_of_two_pending_times_wins() -> None:
    queue, done = make(), asyncio.Event()

    async def handle(key: str) -> None:
        done.set()

    queue.add_after("a", 100.0)
    queue.add_after("a", 0.001)
    queue.add_after("a", 50.0)
    await drive(queue, handle, done)


async def test_a_key_can_ask_to_be_seen_again() -> None:
    queue, runs, done = make(), 0, asyncio.Event()

    async def handle(key: str) -> float | None:
        nonlocal runs
        runs += 1
        if runs == 2:
            done.set()
            return None
        return 0.001

    queue.add("a")
    await drive(queue, handle, done)
