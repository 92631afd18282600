"""Runs plain predictors: each thread takes the next frame off the socket itself, so that no request changes threads.

What needs no permit (hooks, the encoding of large answers, streams whose reader is slow) leaves the executing threads.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from . import aside, control, encode, frames, logs, outbox, sync_batches, sync_intake, sync_streams
from .execute import Cancelled, Executor, Replies, Unencoded, fields, run_after, settled
from .payload import Request

# Answers that may wait a moment for company: of calls this short, and bodies this small.
_SHORT_MICROS = 200
_SMALL_BYTES = 4096
# Answers that may wait to be encoded, and callbacks to be run, before they keep a permit.
_BACKLOG = 64


class Engine:
    """`run` is the body of every executing thread; the main thread, where the constructor ran, is one of them."""

    def __init__(
        self,
        sock: socket.socket,
        executor: Executor,
        registry: control.Registry,
        out: logs.Writer | None,
        threads: int,
    ) -> None:
        self.outbox = outbox.Outbox(sock)
        self.send = self.outbox.send
        self.executor = executor
        self.registry = registry
        self._out = out
        self._parked: dict[int, Any] = {}
        self.aside = aside.Aside(max(4, threads), _BACKLOG, "cortex-aside")
        # What follows replies may take its time: no answer waits for it.
        self._following = aside.Aside(max(4, threads), _BACKLOG, "cortex-after")
        self._source: Any = sync_intake.Reader(sock, registry.bodies)
        if executor.contract.pre is not None:
            self._source = sync_intake.Preparing(self._source, self, threads)

    def run(self) -> None:
        thread = threading.get_ident()
        while True:
            frame = self._source.next(self.outbox.flush)
            if frame is None:
                return
            kind, number, head, body = frame
            if kind == frames.REQUEST:
                job = control.ThreadJob(number, self.registry, thread)
                if self.registry.take(job):
                    self.serve(job, Request(number, head, body), None)
                else:
                    self.send(frames.RELEASE, number)
            elif kind == frames.GO:
                self._parked.pop(number).go(frames.CREDIT_HEAD.unpack(head)[0])
            elif kind == frames.BATCH:
                batch = sync_batches.collect(self, number, body)
                if batch is not None:
                    batch.run()

    def finish(self) -> None:
        """Waits for what still runs beside the permits."""
        self.aside.join()
        self._following.join()

    def park(self, number: int, parked: Any, sent: int) -> None:
        """Gives the permit back; an executing thread calls `parked.go` when the front grants it again."""
        self._parked[number] = parked
        self.send(frames.PARKED, number, frames.CREDIT_HEAD.pack(sent))

    def serve(self, job: control.ThreadJob, request: Request, prepared: dict[str, Any] | None) -> None:
        """`prepared` are the arguments, where they were made before the permit was here."""
        token = logs.current.set(request)
        over = True
        try:
            began = time.perf_counter_ns()
            answer = self._call(job, request, prepared)
            if type(answer) is Unencoded:
                if self.aside.reserve():
                    over = False
                    self.send(frames.RELEASE, job.number)
                    self.aside.run(self._finish_aside, job, request, answer, began)
                    return
                answer = self.answer(job, request, self.executor.finish, answer.result, answer.arguments, request)
            if answer.chunks is not None:
                over = False
                sync_streams.Stream(self, job, request, answer).run()
            elif answer.after:
                over = False
                self._reply(job, answer, frames.HELD, began)
                self.settle(job.number, [(request, answer)])
            else:
                self._reply(job, answer, 0, began)
        except Cancelled:
            self.drop(job)
        finally:
            if over:
                self.end(request)
            logs.current.reset(token)

    def _call(self, job: control.ThreadJob, request: Request, prepared: dict[str, Any] | None) -> Any:
        """The answer, or the result alone where the permit goes back first. Raises Cancelled."""
        executor = self.executor
        try:
            try:  # as `guarded` does it, without its calls
                job.enter()
                if prepared is None:
                    method, arguments = executor.prepare(request)
                else:
                    method, arguments = executor.contract.verbs[request.method], prepared
                result = settled(method.function(**arguments))
                if executor.keeps_permit(result):
                    return executor.finish(result, arguments, request)
                return Unencoded(result, arguments)
            finally:
                job.leave()
        except Cancelled:
            raise
        except BaseException as error:  # exit(), a Rust panic: an error of one request, not of the thread
            return executor.failed(error, request)

    def answer(self, job: control.ThreadJob, request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns, or the answer that its failure deserves. Raises Cancelled."""
        try:
            return self.guarded(job, function, *arguments)
        except Cancelled:
            raise
        except BaseException as error:
            return self.executor.failed(error, request)

    def guarded(self, job: control.ThreadJob, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs user code; only within it can Cancelled and KeyboardInterrupt be raised from outside."""
        try:
            job.enter()
            return function(*arguments)
        finally:
            job.leave()

    def _finish_aside(self, job: control.ThreadJob, request: Request, raw: Unencoded, began: int) -> None:
        """Encodes an answer whose permit is back already."""
        job.move_here()
        token = logs.current.set(request)
        try:
            answer = self.answer(job, request, self.executor.finish, raw.result, raw.arguments, request)
            if answer.chunks is not None:
                sync_streams.Stream(self, job, request, answer).run()
                return
            self._reply(job, answer, 0, began)
            if answer.after and self._following.reserve():
                self._following.run(self._after, [(request, answer)])
            else:
                self._after([(request, answer)])
        except Cancelled:
            self.drop(job)
            self.end(request)
        finally:
            logs.current.reset(token)

    def _reply(self, job: control.ThreadJob, answer: encode.Encoded, flags: int, began: int) -> None:
        self.registry.forget(job)
        now = time.perf_counter_ns()
        micros = (now - began) // 1000
        head = frames.response_head(answer.status, flags, micros, fields(answer))
        if micros < _SHORT_MICROS and self._source.more and not flags and len(answer.body) < _SMALL_BYTES:
            self.outbox.hold(frames.pack(frames.RESPONSE, job.number, head, answer.body), now)
        else:
            self.send(frames.RESPONSE, job.number, head, answer.body)

    def settle(self, number: int, replies: Replies, head: bytes = b"") -> None:
        """Gives the permit back; what is to run after the replies keeps it only where nothing else is free."""
        aside = any(answer.after for _, answer in replies) and self._following.reserve()
        if not aside:
            self._after(replies)
        self.send(frames.RELEASE, number, head)
        if aside:
            self._following.run(self._after, replies)

    def _after(self, replies: Replies) -> None:
        for request, answer in replies:
            token = logs.current.set(request)
            for function in answer.after:
                try:
                    try:
                        run_after(function)
                    finally:
                        self.registry.came_back()
                except BaseException as error:
                    self.executor.report(error)
            self.end(request)
            logs.current.reset(token)

    def end(self, request: Request) -> None:
        """No user code of this request runs any more."""
        if self._out is not None and request.partial:
            self._out.finish()
        if request.held is not None:
            request.held.close()

    def refuse(self, job: control.ThreadJob, request: Request, answer: encode.Encoded) -> None:
        """Answers a request that never had a permit."""
        self.registry.forget(job)
        self.send(frames.RESPONSE, job.number, frames.response_head(answer.status, 0, 0, fields(answer)), answer.body)
        self.end(request)

    def drop(self, job: control.ThreadJob) -> None:
        """Nobody waits for the answer any more."""
        job.leave()
        self.registry.forget(job)
        self.send(frames.RELEASE, job.number)
