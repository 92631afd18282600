"""What is no `Exception` and still only an error of one request: exits, interrupts, panics, stray cancellations."""

import concurrent.futures
import pathlib
from collections.abc import Iterator

import httpx
import pytest

from tests.runtime.replica import Replica, running

ERRORS = """
import _thread, asyncio, concurrent.futures

class Panic(BaseException):
    pass

class Mean(Exception):
    @property
    def status_code(self):
        raise Panic("mean")

async def leave():
    raise SystemExit(1)

def fail(kind):
    if kind == "interrupted":
        _thread.interrupt_main()
        while True:
            pass
    if kind:
        raise {"panic": Panic, "keyboard": KeyboardInterrupt, "exit": SystemExit, "cancelled": asyncio.CancelledError,
               "generator": GeneratorExit, "stop": StopIteration, "mean": Mean}[kind]("told")
    return "ok"
"""
PLAIN = """
class PythonPredictor:
    def __init__(self):
        pass

    def predict(self, query_params):
        where, kind = query_params.get("where"), query_params.get("kind")
        if where == "callback":
            return "ok", lambda: fail(kind)
        if where == "stream":
            return (fail(kind) for _ in "ab")
        if where == "middle":
            return (fail(each) for each in ["", kind])
        if where == "close":
            return self.stubborn()
        return fail(kind) if where == "predict" else "ok"

    def stubborn(self):
        try:
            yield 1
            raise ValueError
        finally:
            fail("panic")

    def post_predict(self, query_params):
        if query_params.get("where") == "post_predict":
            fail(query_params["kind"])
"""
ASYNC = """
class PythonPredictor:
    async def predict(self, query_params):
        where, kind = query_params.get("where"), query_params.get("kind")
        if where == "stream":
            return self.stream([kind])
        if where == "middle":
            return self.stream(["", kind])
        if where == "child":
            await asyncio.gather(leave(), asyncio.sleep(0))
        return fail(kind) if where == "predict" else "ok"

    def handle_put(self, query_params):
        return fail(query_params.get("kind"))

    async def stream(self, kinds):
        for kind in kinds:
            yield fail(kind)

    async def post_predict(self, query_params):
        if query_params.get("where") == "post_predict":
            fail(query_params["kind"])
"""
KINDS = ("panic", "keyboard", "exit", "cancelled", "generator", "stop", "mean")


@pytest.fixture(scope="module", params=[1, 2])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(
        tmp_path_factory.mktemp("plain"), ERRORS + PLAIN, predictor={"threadsPerProcess": request.param}
    ) as found:
        yield found


@pytest.fixture(scope="module")
def coroutines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("async")
    with running(folder, ERRORS + ASYNC, predictor={"threadsPerProcess": 2}) as found:
        yield found


def ask(replica: Replica, where: str, kind: str, method: str = "POST") -> int | str:
    """The status, or `broken` for a stream without its end. Waits for three seconds, not for the request's time-out."""
    try:
        asked = {"where": where, "kind": kind}
        return replica.client.request(method, "/", params=asked, timeout=3).status_code
    except httpx.RemoteProtocolError:
        return "broken"


def check(replica: Replica, where: str, kind: str, expected: int | str) -> None:
    workers = replica.worker_pids
    assert [ask(replica, where, kind) for _ in range(3)] == [expected] * 3
    # Every permit is back, and it is still the same process.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: ask(replica, "", ""), range(4))) == [200] * 4
    assert replica.worker_pids == workers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "expected"),
    [("predict", 500), ("stream", 500), ("middle", "broken"), ("callback", 200), ("post_predict", 200)],
)
def test_plain(plain: Replica, where: str, kind: str, expected: int | str) -> None:
    check(plain, where, kind, expected)


def test_an_interrupt_reaches_the_predictor_and_nothing_else(tmp_path: pathlib.Path) -> None:
    with running(tmp_path, ERRORS + PLAIN) as replica:
        check(replica, "predict", "interrupted", 500)


def test_a_generator_that_fails_at_its_end(plain: Replica) -> None:
    check(plain, "close", "", "broken")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "expected"), [("predict", 500), ("stream", 500), ("middle", "broken"), ("post_predict", 200)]
)
def test_async(coroutines: Replica, where: str, kind: str, expected: int | str) -> None:
    check(coroutines, where, kind, expected)


def test_a_task_of_the_predictors_own_that_exits(coroutines: Replica) -> None:
    check(coroutines, "child", "", 500)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_method_beside_async_ones(coroutines: Replica, kind: str) -> None:
    assert [ask(coroutines, "", kind, "PUT") for _ in range(3)] == [500] * 3
    assert ask(coroutines, "", "", "PUT") == 200
