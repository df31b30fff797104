"""The members of a JSON object, one at a time, so that a hostile one cannot fill the memory.

`json.loads` builds everything it is given: 100 MB of `[[],[],…` become several GB. Here a regular
expression finds where a member ends, and only members that are wanted are ever built. All its
repetitions are possessive, so it runs in linear time and keeps nothing to come back to.
The names are remembered, and each value is built: whoever takes them bounds how many, by memory.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_SPACE: Final = rb"[ \t\r\n]*+"
_STRING: Final = rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"'
_MEMBER: Final = re.compile(
    rb"%(space)b(%(string)b)%(space)b:%(space)b(\{(?:[^\"{}]++|%(string)b)*+\})%(space)b([,}])"
    % {b"space": _SPACE, b"string": _STRING}
)
_EMPTY: Final = re.compile(rb"\{%b\}%b\Z" % (_SPACE, _SPACE))
_REST: Final = re.compile(_SPACE + rb"\Z")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands there twice")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def members(text: bytes, longest_name: int) -> Iterator[tuple[str, memoryview]]:
    """The names and undecoded values of a JSON object whose values are flat objects.

    Names are at most `longest_name` bytes of JSON, and no two are equal. ValueError as soon as
    the text is anything else; what was yielded before then means nothing.
    """
    if text[:1] != b"{":
        raise ValueError("no JSON object")
    if _EMPTY.match(text):
        return
    seen: set[str] = set()
    position, view = 1, memoryview(text)
    while match := _MEMBER.match(text, position):
        begin, end = match.span(1)
        if end - begin > longest_name:
            raise ValueError(f"a name of {end - begin} bytes")
        name = _name(text[begin:end])
        if name in seen:
            raise ValueError(f"{name!r} stands there twice")
        seen.add(name)
        yield name, view[slice(*match.span(2))]
        position = match.end()
        if match[3] == b"}":
            break
    else:
        raise ValueError(f"no member of a JSON object at byte {position}")
    if _REST.match(text, position) is None:
        raise ValueError(f"something follows the JSON object at byte {position}")


def load_object(text: memoryview) -> dict[str, Any]:
    """The object that `text` holds; ValueError unless it is strict JSON without double names."""
    if bytes(text[:1]) != b"{":
        raise ValueError("no JSON object")
    try:
        value: dict[str, Any] = _DECODER.decode(str(text, "utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _name(text: bytes) -> str:
    name: str = json.loads(text.decode())
    name.encode()  # an escaped lone surrogate is no text, and could not be stored
    return name
