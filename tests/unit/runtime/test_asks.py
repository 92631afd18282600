"""A worker asks, the front answers: over a real socket pair, from several threads."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from runtime import asks
from runtime.shim import asks as shim_asks
from runtime.shim import frames


async def started(answers: asks.Asks) -> shim_asks.Asker:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: asks.Control(answers), sock=ours)
    asker = shim_asks.Asker(theirs)

    def listen() -> None:
        decoder = frames.Decoder()
        while data := theirs.recv(65536):
            for _, number, head, body in decoder.feed(data):
                asker.told(number, head, body)

    threading.Thread(target=listen, daemon=True).start()
    return asker


async def test_answers_reach_who_asked_whatever_their_order() -> None:
    answers = asks.Asks()

    async def echo(meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        await asyncio.sleep(meta["delay"])
        return {"n": meta["n"]}, body * 2

    answers.register("echo", echo)
    asker = await started(answers)

    def ask(n: int) -> tuple[dict[str, Any], bytes]:
        return asker.ask("echo", {"n": n, "delay": (5 - n) * 0.01}, b"x" * 100_000 * n, timeout=10)

    found = await asyncio.gather(*(asyncio.to_thread(ask, n) for n in range(5)))
    assert [(meta["n"], len(body)) for meta, body in found] == [(n, 200_000 * n) for n in range(5)]


async def test_refusals_and_errors_are_told() -> None:
    answers = asks.Asks()

    async def refuse(meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        raise asks.Refused("no such model", "not-found")

    async def fail(meta: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        raise ValueError("boom")

    answers.register("refuse", refuse)
    answers.register("fail", fail)
    asker = await started(answers)
    for kind, error_kind, words in [
        ("refuse", "not-found", "no such model"),
        ("fail", "internal", "ValueError: boom"),
        ("other", "unknown", "cannot answer 'other'"),
    ]:
        with pytest.raises(shim_asks.AskError, match=words) as told:
            await asyncio.to_thread(asker.ask, kind, {}, b"", 10)
        assert told.value.kind == error_kind
