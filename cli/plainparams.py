"""Options taken as they are given, where there is nothing to check or to convert.

typer has pydantic look at each value, also where none was given, and only to import that takes a
sixth of all the processor time of a short command.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any


def take_as_given(params: Iterable[Any]) -> None:
    """Have options and arguments of typer pass on text, and None, without looking at it."""
    for param in params:
        plain = isinstance(param.process_value, functools.partial)
        if not (plain or param.multiple or param.nargs != 1):
            param.process_value = functools.partial(_process, param, param.process_value)


def _process(param: Any, usual: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    descriptor = getattr(param, "type_descriptor", None)  # typer's own, since 0.29
    text = type(value) is str and getattr(descriptor, "annotation", None) is str
    if not text and (value is not None or param.required):
        return usual(context, value)
    return value if param.callback is None else param.callback(context, param, value)
