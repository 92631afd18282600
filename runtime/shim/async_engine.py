"""Runs async predictors: one event loop on the main thread, one task per request, cancelled with its caller."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from . import async_batches, async_threads, control, encode, frames, lag, logs, signature, stream, turns
from .execute import Executor, fields, run_after, split
from .payload import Request

_END = object()
_LAST_SECONDS = 1.0
# Requests whose callbacks may run at a time without a permit.
_FOLLOWING = 64


class TaskJob(control.Job):
    """A job on the loop. `cancel` and `grant` come from the control thread."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(number)
        self._loop = loop
        self._changed = asyncio.Event()
        self._parked = False
        self.task: asyncio.Task[None] | None = None
        self.released = False
        self.has_turn = False

    def cancel(self) -> None:
        self.cancelled = True
        self._loop.call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def grant(self, limit: int) -> None:
        self._loop.call_soon_threadsafe(self._grant, limit)

    def _grant(self, limit: int) -> None:
        self.limit = max(self.limit, limit)
        if not self._parked:
            self._changed.set()

    def go(self, limit: int) -> None:
        """The permit is here (again); 0 when nobody waits any more."""
        self.limit = max(self.limit, limit)
        self._parked = False
        self._changed.set()
        if limit == 0:
            self.cancelled = True
            self._cancel_task()

    async def take_credit(self, cost: int, park: Callable[[TaskJob], None]) -> None:
        """For one chunk. Parks the stream while its caller is slow."""
        if self.sent >= self.limit:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), control.CREDIT_SECONDS)
            except asyncio.TimeoutError:
                while self.sent >= self.limit:
                    await self.wait_for_permit(park)
        self.sent += cost

    async def wait_for_permit(self, park: Callable[[TaskJob], None]) -> None:
        self._parked = True
        self._changed.clear()
        park(self)
        await self._changed.wait()


class Engine(asyncio.Protocol):
    """The data socket's protocol and what its requests turn into."""

    def __init__(self, executor: Executor, registry: control.Registry, out: logs.Writer | None, threads: int) -> None:
        self.executor = executor
        self.registry = registry
        self._out = out
        self._decoder = frames.Decoder(registry.bodies)
        self._transport: Any = None
        self._loop = asyncio.get_running_loop()
        self._turns = turns.Turns(threads)
        self._pools = async_threads.Pools(threads, registry.came_back)
        self._jobs: dict[int, TaskJob] = {}
        self._lag = lag.Watchdog(self._loop, lambda: bool(self._jobs))
        self._batch: async_batches.Incoming | None = None
        self._following = 0
        self._settled = asyncio.Event()
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        for kind, number, head, body in self._decoder.feed(data):
            if kind == frames.GO:
                job = self._jobs.get(number)
                if job is not None:
                    self._take_turn(job)
                    job.go(frames.CREDIT_HEAD.unpack(head)[0])
            elif kind == frames.BATCH:
                self._batch = async_batches.Incoming(number, frames.COUNT_HEAD.unpack(head)[0])
            elif self._batch is not None:
                self._batch.members.append((number, head, body))
                if self._batch.whole:
                    batch, self._batch = self._batch, None
                    self._in_turn(functools.partial(async_batches.begin, self, batch))
            else:
                self._in_turn(functools.partial(self._begin, number, head, body))

    def _in_turn(self, begin: Callable[[], None]) -> None:
        """What has to be prepared first begins at once, and waits for its permit then."""
        if self.executor.contract.pre is not None:
            begin()
        else:
            self._turns.wait(begin)

    def _begin(self, number: int, head: bytes, body: bytes) -> None:
        job = TaskJob(number, self._loop)
        if self.registry.take(job):
            self.start(job, self._serve(job, Request(number, head, body)))
        else:
            self.send(frames.RELEASE, number)

    async def settle(self) -> None:
        """Waits for what still runs after replies; who ends this process sets the time limit."""
        while self._following:
            self._settled.clear()
            await self._settled.wait()

    def new_job(self, number: int) -> TaskJob:
        return TaskJob(number, self._loop)

    def start(self, job: TaskJob, work: Coroutine[Any, Any, None]) -> None:
        self._jobs[job.number] = job
        if self.executor.contract.pre is None:
            self._take_turn(job)
        self._lag.wake()
        job.task = self._loop.create_task(work)
        # Not in a `finally` of the task: one cancelled before its first step never runs.
        job.task.add_done_callback(functools.partial(self._done, job))

    def park(self, job: TaskJob) -> None:
        self.send(frames.PARKED, job.number, frames.CREDIT_HEAD.pack(job.sent))
        self.leave_turn(job)

    def _take_turn(self, job: TaskJob) -> None:
        job.has_turn = True
        self._turns.take()

    def leave_turn(self, job: TaskJob) -> None:
        """Its permit is on the way back."""
        if job.has_turn:
            job.has_turn = False
            self._turns.leave()

    async def _serve(self, job: TaskJob, request: Request) -> None:
        logs.current.set(request)
        began = time.perf_counter_ns()
        after: Sequence[Callable[[], Any]] = ()
        try:
            answer = await self._answer(job, request)
            after = answer.after
            if answer.chunks is not None:
                await self._stream(job, request, answer, began)
            else:
                job.released = job.released or not after
                flags = 0 if job.released else frames.HELD
                head = frames.response_head(answer.status, flags, _micros(began), fields(answer))
                self.send(frames.RESPONSE, job.number, head, answer.body)
                if job.released:
                    self.leave_turn(job)
        except asyncio.CancelledError:
            after = ()  # nobody waits for this answer any more
        finally:
            job.task = None  # what follows is not cancelled
            await self.follow(job, [(request, after)])

    async def follow(self, job: TaskJob, replies: Sequence[tuple[Request, Sequence[Callable[[], Any]]]]) -> None:
        """Runs what the predictor left to do after its replies, without a permit as long as there is not much of it."""
        if self._following < _FOLLOWING and not job.released and any(after for _, after in replies):
            self.release(job)
        self._following += 1
        for request, after in replies:
            logs.current.set(request)
            for function in after:
                await self._after(function)
            self.end(request)
        self._following -= 1
        self._settled.set()

    def end(self, request: Request) -> None:
        """No user code of this request runs any more."""
        if self._out is not None and request.partial:
            self._out.finish()
        if request.held is not None:
            request.held.close()

    def release(self, job: TaskJob, head: bytes = b"") -> None:
        if not job.released:
            job.released = True
            self.send(frames.RELEASE, job.number, head)
            self.leave_turn(job)

    def _done(self, job: TaskJob, task: asyncio.Task[None]) -> None:
        self._jobs.pop(job.number, None)
        self.registry.forget(job)
        if not task.cancelled() and task.exception() is not None:
            self.executor.report(task.exception() or RuntimeError())
        if not job.released or job.cancelled:
            self.send(frames.RELEASE, job.number)
        self.leave_turn(job)

    async def _answer(self, job: TaskJob, request: Request) -> encode.Encoded:
        try:
            method, arguments = await self.arguments(request)
            if self.executor.contract.pre is not None:
                await job.wait_for_permit(self.park)
            result = await self.call(method.function, arguments, is_async=method.is_async)
            if not self.executor.keeps_permit(result):
                self.release(job)
            return await self.finish(result, arguments, request)
        except BaseException as error:  # exit(), a Rust panic, a cancelled task of the user's own: one request's error
            self.registry.came_back()
            if self.is_over(job, error):
                raise
            return self.executor.failed(error, request)

    async def arguments(self, request: Request) -> tuple[signature.Method, dict[str, Any]]:
        """Those of the method, with what `pre` makes of the payload."""
        method, arguments = self.executor.prepare(request)
        hook = self.executor.contract.pre
        if hook is not None:
            value = await _hook(hook, lambda: self.executor.pre(arguments, request), self._pools.before)
            if "payload" in arguments:
                arguments["payload"] = value
        return method, arguments

    async def finish(self, result: Any, arguments: dict[str, Any], request: Request) -> encode.Encoded:
        """Encodes what the method returned, or what `post` makes of it."""
        hook = self.executor.contract.post
        if hook is None:
            return self.executor.finish(result, arguments, request)
        result, callback = split(result)
        result = await _hook(hook, lambda: self.executor.post(result, arguments, request), self._pools.behind)
        return self.executor.encoded(result, callback, arguments, request)

    async def call(self, function: Callable[..., Any], arguments: dict[str, Any], *, is_async: bool) -> Any:
        if is_async:
            result = function(**arguments)
            return result if hasattr(result, "__anext__") else await result
        result = await self._pools.methods.run(lambda: function(**arguments))
        return await _settled(result)  # of a plain function around one that is not

    def is_over(self, job: TaskJob, error: BaseException) -> bool:
        """Whether it is we who cancelled, so that nobody waits for an answer."""
        return isinstance(error, asyncio.CancelledError) and (job.cancelled or self.closed.is_set())

    async def _stream(self, job: TaskJob, request: Request, answer: encode.Encoded, began: int) -> None:
        items = answer.chunks
        opened: stream.Opening | None = None
        try:
            items = items.__aiter__() if hasattr(items, "__aiter__") else self._threaded(iter(items))
            item = await _next(items)
            opening = stream.Opening(item, request.accepts, answer)
            # Before anything is said: what cannot be encoded is an error still, and no answer that breaks off.
            data = None if item is _END else opening.encode(item)
            opened, answer.content_type = opening, opening.content_type
            self.send(frames.STREAM_HEAD, job.number, frames.response_head(answer.status, 0, 0, fields(answer)))
            while data is not None:
                for piece in stream.pieces(data):
                    await job.take_credit(frames.cost(piece), self.park)
                    self.send(frames.STREAM_CHUNK, job.number, b"", piece)
                item = await _next(items)
                data = None if item is _END else opened.encode(item)
        except BaseException as error:
            if self.is_over(job, error):
                raise
            self._break(job, request, opened, error, began)
        else:
            self.send(frames.STREAM_END, job.number, frames.response_head(0, 0, _micros(began), []))
        finally:
            await self._close(items)

    def _break(
        self, job: TaskJob, request: Request, opened: stream.Opening | None, error: BaseException, began: int
    ) -> None:
        failed = self.executor.failed(error, request)
        if opened is None:
            head = frames.response_head(failed.status, frames.HELD, _micros(began), fields(failed))
            self.send(frames.RESPONSE, job.number, head, failed.body)
            return
        if opened.events:
            told = stream.broken_event("the predictor failed in the middle of its answer", request.request_id)
            self.send(frames.STREAM_CHUNK, job.number, b"", told)
        self.send(frames.STREAM_ERROR, job.number, frames.response_head(0, 0, _micros(began), []))

    async def _threaded(self, items: Any) -> AsyncIterator[Any]:
        """A plain generator beside async methods: each step runs on a thread."""
        while True:
            item = await self._pools.methods.run(lambda: next(items, _END))
            if item is _END:
                return
            yield item

    async def _after(self, after: Callable[[], Any]) -> None:
        try:
            function = after.func if isinstance(after, functools.partial) else after
            if any(asyncio.iscoroutinefunction(way) for way in (function, getattr(function, "__call__", None))):  # noqa: B004
                await after()
            else:
                await self._pools.after.run(functools.partial(run_after, after))
        except BaseException as error:
            self.executor.report(error)

    async def _close(self, items: Any) -> None:
        try:
            if hasattr(items, "aclose"):
                await items.aclose()
        except BaseException as error:
            self.executor.report(error)

    def write(self, data: bytes) -> None:
        """Whole frames."""
        self.registry.came_back()
        self._transport.write(data)

    def send(self, kind: int, number: int, head: bytes = b"", body: bytes = b"") -> None:
        self.registry.came_back()
        if len(body) <= 32768:
            self._transport.write(frames.pack(kind, number, head, body))
        else:
            self._transport.write(frames.pack_start(kind, number, head, len(body)))
            self._transport.write(body)


async def _hook(hook: signature.Method, function: Callable[[], Any], threads: async_threads.Threads) -> Any:
    made = function() if hook.is_async else await threads.run(function)
    return await _settled(made)


async def _settled(outcome: Any) -> Any:
    """Not by asyncio's own test, to which generators are coroutines before Python 3.12."""
    return await outcome if type(outcome) is types.CoroutineType else outcome


async def _next(items: Any) -> Any:
    try:
        return await items.__anext__()
    except StopAsyncIteration:
        return _END


def _micros(began: int) -> int:
    return (time.perf_counter_ns() - began) // 1000


def run(main: Coroutine[Any, Any, None]) -> None:
    """asyncio.run, but a task of the user's that raises SystemExit or KeyboardInterrupt does not end the loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(main)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit):
            # Whoever awaits that task gets the exception there; what else was to run still is.
            continue
    left = asyncio.all_tasks(loop)
    for other in left:
        other.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=_LAST_SECONDS))
    loop.run_until_complete(loop.shutdown_asyncgens())
    task.result()


async def serve(engine: Engine, sock: socket.socket) -> None:
    """Until the front closes its side."""
    sock.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: engine, sock=sock)
    await engine.closed.wait()
    await engine.settle()
