"""The contract of a user's class, read from its signatures once so that a call costs no inspection."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Sequence
from typing import Any

from . import callables
from .payload import Request

_VERBS = ("get", "post", "put", "patch", "delete")
_AFTER_ARGUMENTS = ("response", "payload", "query_params", "headers")
_GETTERS: dict[str, Callable[[Request], Any]] = {
    "payload": Request.payload,
    "query_params": lambda request: request.query_params,
    "headers": lambda request: request.headers,
    "batch_id": lambda request: None,
    "deadline": lambda request: request.deadline,
}
# What may be asked for by `pre`, which runs before a request has a permit, and `post`, after it gave it back.
_PRE_ARGUMENTS = ("payload", "query_params", "headers", "deadline")


class Invalid(Exception):
    """The class does not follow the contract; the text tells the user what to change."""


class Method:
    """One method of the user's object that answers requests."""

    is_batched = False

    def __init__(self, function: Callable[..., Any], names: Sequence[str]) -> None:
        self.function = function
        self.names = names
        self.getters = [(name, _GETTERS[name]) for name in names if name in _GETTERS]
        self.is_async = callables.is_async(function)
        self.wants_headers = "headers" in names

    def arguments(self, request: Request) -> dict[str, Any]:
        """Raises Malformed when the payload does not parse."""
        return {name: get(request) for name, get in self.getters}

    def finish(self, result: Any, request: Request) -> Any:
        """The answer, where the method has its own idea of it: RPCs do (rpc.py)."""
        raise NotImplementedError


class Contract:
    """What the object offers: a method per HTTP verb, and what runs after a reply."""

    def __init__(self, instance: Any, verbs: dict[str, Method], after: Callable[..., Any] | None) -> None:
        self.instance = instance
        self.verbs = verbs
        self.pre = None if self.is_rpc else _hook(instance, "pre", _PRE_ARGUMENTS)
        self.post = None if self.is_rpc else _hook(instance, "post", _AFTER_ARGUMENTS)
        self.after = after
        self.after_names: tuple[str, ...] = ()
        if after is not None:
            self.after_names = tuple(checked(after, "post_predict", _AFTER_ARGUMENTS))

    @property
    def is_async(self) -> bool:
        return any(method.is_async for method in self.verbs.values())

    @property
    def is_rpc(self) -> bool:
        """Whether it serves a service of the user's own, whose methods go by their paths."""
        return any(name.startswith("/") for name in self.verbs)

    @property
    def wants_headers(self) -> bool:
        methods = [*self.verbs.values(), *filter(None, (self.pre, self.post))]
        return "headers" in self.after_names or any(method.wants_headers for method in methods)

    @property
    def wants_deadline(self) -> bool:
        return any("deadline" in method.names for method in [*self.verbs.values(), *filter(None, (self.pre,))])


def is_candidate(cls: Any, rpcs: Sequence[str] = ()) -> bool:
    names = ["predict"] + ["handle_" + verb for verb in _VERBS] + list(rpcs)
    return any(callable(getattr(cls, name, None)) for name in names)


def is_async_class(cls: Any, rpcs: Sequence[str] = ()) -> bool:
    names = ["predict"] + ["handle_" + verb for verb in _VERBS] + list(rpcs)
    return any(callables.may_be_async(getattr(cls, name)) for name in names if hasattr(cls, name))


def inspect_instance(instance: Any, taken: Collection[str] = ()) -> Contract:
    """`taken` are methods that answer no verb. Raises Invalid."""
    verbs: dict[str, Method] = {}
    if "predict" not in taken and callable(getattr(instance, "predict", None)):
        verbs["POST"] = _method(instance, "predict")
    for verb in _VERBS:
        if callable(getattr(instance, "handle_" + verb, None)):
            verbs[verb.upper()] = _method(instance, "handle_" + verb)
    after = getattr(instance, "post_predict", None)
    return Contract(instance, verbs, after if callable(after) else None)


def check_batched(contract: Contract) -> None:
    """Whether its POST requests can be collected into batches. Raises Invalid."""
    method = contract.verbs.get("POST")
    if method is None:
        raise Invalid("server_side_batching needs predict() or handle_post(), whose calls it collects")
    if callables.is_generator(method.function):
        told = getattr(method.function, "__name__", "predict")
        raise Invalid(f"{told}() is a generator; with server_side_batching it returns a list with one result per call")


def check_class(cls: Any, taken: Collection[str] = ()) -> None:
    """What can be said before the constructor, which may take minutes, has run. Raises Invalid."""
    for name in {"predict", "post_predict", *("handle_" + verb for verb in _VERBS)}.difference(taken):
        method = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
        if isinstance(method, types.FunctionType):
            allowed = _AFTER_ARGUMENTS if name == "post_predict" else tuple(_GETTERS)
            checked(method, name, allowed, skip_self=True)


def constructor_arguments(cls: Any, offered: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Values for what the constructor names. Raises Invalid."""
    name = "__init__" if cls.__init__ is not object.__init__ else "__new__"
    if cls.__new__ is object.__new__ and name == "__new__":
        return {}
    names = checked(getattr(cls, name), name, tuple(offered), skip_self=True)
    return {name: offered[name]() for name in names}


def _method(instance: Any, name: str) -> Method:
    function = getattr(instance, name)
    return Method(function, checked(function, name, tuple(_GETTERS)))


def _hook(instance: Any, name: str, allowed: Sequence[str]) -> Method | None:
    """A method of that name is a hook when it asks for what hooks get; else it is the user's own business."""
    function = getattr(instance, name, None)
    if not callable(function):
        return None
    try:
        names = checked(function, name, allowed)
    except (Invalid, ValueError):
        return None
    return Method(function, names) if allowed[0] in names else None


def checked(function: Any, name: str, allowed: Sequence[str], skip_self: bool = False) -> list[str]:
    """The parameters of `function` that are in `allowed`; a required one that is not makes the class invalid."""
    found = []
    for parameter, by_name, has_default in callables.parameters(function, skip_self):
        if by_name and parameter in allowed:
            found.append(parameter)
        elif not has_default:
            if parameter in allowed:
                text = (
                    f"{name}() takes {parameter!r} by its place only; arguments are given by name, so take the `/` out"
                )
                raise Invalid(text)
            expected = ", ".join(allowed)
            raise Invalid(f"{name}() asks for {parameter!r}; it may ask for: {expected}")
    return found
