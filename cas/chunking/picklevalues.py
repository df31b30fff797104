"""What a pickle's values become here: as much as their structure needs, and nothing that acts.

Python's unpickler imports what a pickle names, and calls it. Here a name stays a name (`Global`)
and a call stays a function with its arguments (`Call`). Only numbers, text, tuples and containers
become what they are; whatever else there is, is `OTHER`. Nothing is hashed, compared or printed:
values may be nested as deep as a pickle likes, and may contain themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Final

TEXT_LIMIT: Final = 4096
"""Longest text in bytes that is kept."""
NUMBER_LIMIT: Final = 24
"""Longest number in bytes or digits that is kept: more than 64 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Something that does not matter here."""


OTHER: Final = Other()


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """Something of a module, by its name; it need not exist."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Container:
    """A dict, list or set, or what an object was filled with: values under keys, in order.

    What has no key of its own has its number; an object's state has None.
    """

    items: list[tuple[object, object]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call(Container):
    """What a function or class would have made of these arguments."""

    function: object = OTHER
    arguments: object = OTHER


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """Something that stands outside the pickle, under an id that the pickle's writer chose."""

    id: object


ITEM_SIZE: Final = 80
"""Bytes that a value in a container takes besides its own: a key, a pair, a place in a list."""
_SIZES: Final[dict[type, int]] = {Container: 128, Call: 176, Persistent: 48, Other: 0}


def size_of(value: object) -> int:
    """Bytes of memory that a new value takes, without those that it refers to."""
    if isinstance(value, Global):
        return 48 + getsizeof(value.module) + getsizeof(value.name)
    return _SIZES.get(type(value)) or getsizeof(value)


def _signed(argument: bytes) -> object:
    if len(argument) > NUMBER_LIMIT:
        return OTHER
    return int.from_bytes(argument, "little", signed=True)


def unsigned(argument: bytes) -> int:
    """A number of a few bytes."""
    return int.from_bytes(argument, "little")


def _written(argument: bytes) -> object:
    """A number in digits; of two, false or true."""
    if argument in (b"00", b"01"):
        return argument == b"01"
    return OTHER if len(argument) > NUMBER_LIMIT else int(argument.removesuffix(b"L"))


def _text(argument: bytes, encoding: str = "utf-8") -> object:
    try:
        return argument.decode(encoding) if len(argument) <= TEXT_LIMIT else OTHER
    except UnicodeDecodeError:
        return OTHER


def _old_text(argument: bytes) -> object:
    """A string of Python 2: text or bytes."""
    return _text(argument, "ascii")


def _quoted_text(argument: bytes) -> object:
    """A string of Python 2 as it would stand in a program."""
    return OTHER if b"\\" in argument else _text(argument[1:-1], "ascii")


def named(argument: bytes) -> object:
    """Something of a module; both names on lines of their own."""
    text = _text(argument)
    return Global(*text.split("\n", 1)) if isinstance(text, str) else OTHER


def _other(_: bytes) -> object:
    """What does not matter here."""
    return OTHER


LEAVES: Final[dict[str, Callable[[bytes], object]]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "INT": _written,
    "LONG": _written,
    "BININT": _signed,
    "BININT1": unsigned,
    "BININT2": unsigned,
    "LONG1": _signed,
    "LONG4": _signed,
    "FLOAT": _other,
    "BINFLOAT": _other,
    "STRING": _quoted_text,
    "BINSTRING": _old_text,
    "SHORT_BINSTRING": _old_text,
    "UNICODE": lambda argument: _text(argument, "raw-unicode-escape"),
    "SHORT_BINUNICODE": _text,
    "BINUNICODE": _text,
    "BINUNICODE8": _text,
    "SHORT_BINBYTES": _other,
    "BINBYTES": _other,
    "BINBYTES8": _other,
    "BYTEARRAY8": _other,
    "NEXT_BUFFER": _other,
    "EXT1": _other,
    "EXT2": _other,
    "EXT4": _other,
    "PERSID": _other,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: Container(),
    "EMPTY_DICT": lambda _: Container(),
    "EMPTY_SET": lambda _: Container(),
    "GLOBAL": named,
}
"""What opcodes that only push something push, from their argument."""
