"""Plain functions read by ourselves and everything else left to `inspect`: both must tell the same."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import pytest

from runtime.shim import callables


def _marked(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def _signed(function: Any) -> Any:
    names = ("self", "headers")
    told = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    function.__signature__ = inspect.Signature(told)
    return function


class Predictor:
    def nothing(self) -> None: ...
    def one(self, payload: Any) -> None: ...
    def defaults(self, payload: Any, headers: Any = None, batch_id: int = 3) -> None: ...
    def positional(self, payload: Any, /, headers: Any = 1) -> None: ...
    def by_name(self, *, payload: Any, headers: Any = None, deadline: Any) -> None: ...
    def any(self, *args: Any, **kwargs: Any) -> None: ...
    def some(self, payload: Any, *args: Any, headers: Any, **kwargs: Any) -> None:
        local = payload  # a local variable is no parameter
        del local

    def only_rest(*args: Any, payload: Any = 1) -> None: ...
    def closure(self, payload: Any) -> Any:
        return lambda: (self, payload)

    def generator(self, payload: Any) -> Any:
        yield payload

    async def coroutine(self, payload: Any, headers: Any = None) -> None: ...
    async def async_generator(self, payload: Any) -> Any:
        yield payload

    @_marked
    def decorated(self, payload: Any, other: int = 2) -> None: ...
    @_marked
    async def decorated_coroutine(self, payload: Any) -> None: ...
    @_signed
    def signed(self, payload: Any) -> None: ...
    @staticmethod
    def static(payload: Any, headers: Any = None) -> None: ...
    @classmethod
    async def of_class(cls, payload: Any) -> None: ...

    partial = functools.partialmethod(defaults, headers=1)

    def __call__(self, payload: Any, headers: Any = 1) -> None: ...


def _function(payload: Any, headers: Any = None) -> None: ...


async def _coroutine(payload: Any) -> None: ...


NAMES = sorted(set(vars(Predictor)) - set(vars(object)) - {"__module__", "__weakref__", "__dict__", "__annotations__"})
CALLABLES: dict[str, Any] = {
    **{f"class.{name}": getattr(Predictor, name) for name in NAMES if callable(getattr(Predictor, name))},
    **{f"instance.{name}": getattr(Predictor(), name) for name in NAMES if callable(getattr(Predictor, name))},
    "object": Predictor(),
    "class": Predictor,
    "function": _function,
    "lambda": lambda payload, headers=2: None,
    "partial": functools.partial(_function, headers=1),
    "partial of a coroutine function": functools.partial(_coroutine),
    "cached": functools.lru_cache(_function),
    "built in": sorted,
}


def by_inspection(function: Any, skip_self: bool) -> list[tuple[str, bool, bool]]:
    told = list(inspect.signature(function).parameters.values())[1 if skip_self else 0 :]
    return [
        (each.name, each.kind is not each.POSITIONAL_ONLY, each.default is not each.empty)
        for each in told
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]


@pytest.mark.parametrize("name", CALLABLES)
def test_it_tells_what_inspect_tells(name: str) -> None:
    function = CALLABLES[name]
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    is_coroutine, is_async_generator, is_generator = (kind(function) for kind in kinds)
    assert callables.is_async(function) is (is_coroutine or is_async_generator)
    assert callables.is_generator(function) is (is_generator or is_async_generator)
    of_a_class = isinstance(function, types.FunctionType) and name.startswith("class.")
    for skip_self in (False, True) if of_a_class else (False,):
        assert callables.parameters(function, skip_self) == by_inspection(function, skip_self)


def test_a_method_without_self_is_refused_as_inspect_refuses_it() -> None:
    function: Callable[[], None] = lambda: None  # noqa: E731
    bound = function.__get__(Predictor())
    with pytest.raises(ValueError, match="invalid method signature"):
        callables.parameters(bound)


class _Called:
    async def __call__(self, payload: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (Predictor.coroutine, True),
        (Predictor.decorated_coroutine, True),
        (Predictor().decorated_coroutine, True),
        (_Called(), True),
        (functools.partial(_Called()), True),
        (functools.partial(Predictor().coroutine), True),
        (Predictor.decorated, False),
        (Predictor.one, False),
        (functools.partial(Predictor().one), False),
        (Predictor, False),
    ],
)
def test_what_may_have_to_be_awaited(function: Any, expected: bool) -> None:
    assert callables.may_be_async(function) is expected
