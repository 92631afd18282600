"""What a callable asks for, and what a call of it gives: read off plain functions, which nearly all are.

Everything else is left to `inspect`, whose import, with what it imports itself, no start should wait for.
"""

from __future__ import annotations

import types
from typing import Any, List, Tuple

# Of code objects; `inspect` names them CO_GENERATOR and so on.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
# Name, whether it can be given by its name, whether it has a default.
Parameters = List[Tuple[str, bool, bool]]


def is_async(function: Any) -> bool:
    """Whether what a call gives is for an event loop, to await or to iterate."""
    plain = _plain(function)
    if plain is not None:
        return bool(plain.__code__.co_flags & (_COROUTINE | _ASYNC_GENERATOR))
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def may_be_async(function: Any) -> bool:
    """The same of what it stands for: a decorated function, an object that can be called. Whether a call of it really
    gives something to await is known only then."""
    if _plain(function) is not None:
        return is_async(function)
    import functools
    import inspect

    inner = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    if not isinstance(inner, (types.FunctionType, types.MethodType, type)):
        return is_async(inner) or is_async(type(inner).__call__)
    return is_async(inner) or is_async(function)


def is_generator(function: Any) -> bool:
    """Whether a call gives an iterator, async or not."""
    plain = _plain(function)
    if plain is not None:
        return bool(plain.__code__.co_flags & (_GENERATOR | _ASYNC_GENERATOR))
    import inspect

    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def parameters(function: Any, skip_self: bool = False) -> Parameters:
    """Without `*` and `**`; `skip_self`: without the first one. Raises what inspect.signature() raises."""
    plain = _plain(function)
    bound = 1 if skip_self or type(function) is types.MethodType else 0
    if plain is None or plain.__code__.co_argcount < bound:
        return _by_inspection(function, skip_self)
    code = plain.__code__
    names, count = code.co_varnames, code.co_argcount
    first_default = count - len(plain.__defaults__ or ())
    found = [(names[at], at >= code.co_posonlyargcount, at >= first_default) for at in range(bound, count)]
    defaults = plain.__kwdefaults__ or {}
    return found + [(name, True, name in defaults) for name in names[count : count + code.co_kwonlyargcount]]


def _plain(function: Any) -> types.FunctionType | None:
    """None for what is more than it looks: a function's own attributes are a decorator's marks."""
    found = function.__func__ if type(function) is types.MethodType else function
    return found if type(found) is types.FunctionType and not vars(found) else None


def _by_inspection(function: Any, skip_self: bool) -> Parameters:
    import inspect

    told = list(inspect.signature(function).parameters.values())[1 if skip_self else 0 :]
    return [
        (each.name, each.kind is not each.POSITIONAL_ONLY, each.default is not each.empty)
        for each in told
        if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
