"""Settings and quantities as one types them: text into switches, sizes, durations and the like.

Each function takes the text, and raises ValueError, which says how to write it.
"""

import os
import re
from typing import Final

Value = str | bool | int | float
"""What a setting is; sizes are bytes, durations seconds."""


LONGEST: Final = 36_525 * 86_400.0
"""Seconds, a century: with more, the moment that lies so far ahead would have no date."""
EFFORTS: Final = ("fast", "balanced", "small")
"""As `cas.codecs.effort` has them; a test compares."""
LARGEST: Final = 10**18
"""Bytes: no disk has more."""


OFF: Final = "off"

_YES: Final = frozenset({"1", "yes", "true", "on"})
_NO: Final = frozenset({"0", "no", "false", "off"})
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtT]?)(i?)B?")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|h|d|w)?")
_SECONDS: Final = {None: 1, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def switch(text: str) -> bool:
    """`yes` or `no`; ValueError says so."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError("write yes or no")
    return word in _YES


def words(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise ValueError("it must not be empty")
    return text


def binding(text: str) -> str:
    """The name of a binding; ValueError says which there are."""
    from ..fuse.bindings import CHOICES

    if text.strip() not in CHOICES:
        raise ValueError(f"write {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    return text.strip()


def metrics(text: str) -> str:
    """An address of this machine's loopback and a port, or `off`; ValueError says how to write."""
    from ..fuse.endpoint import parse_endpoint

    if text.strip().lower() in {OFF, "no"}:
        return OFF
    try:
        return str(parse_endpoint(text))
    except ValueError as error:
        raise ValueError(f"{error}; {OFF} tells nothing") from None


def path(text: str) -> str:
    """An absolute path; `~` is a home folder."""
    return os.path.abspath(os.path.expanduser(words(text)))


def size(text: str) -> int:
    """Bytes from `4GB`, `256 MiB` or `1000`; ValueError says how to write it."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a size, for example 400MB or 2GiB")
    base = 1024 if match[3] else 1000
    found = float(match[1]) * base ** " kmgt".index((match[2] or " ").lower())
    if found > LARGEST:
        raise ValueError("write a size of at most 1000000 TB")
    return int(found)


def rate(text: str) -> int:
    """Bytes a second from `50MB/s` or `50MB`; ValueError says how to write it."""
    return size(text.strip().removesuffix("/s"))


def memory(text: str) -> int:
    """Bytes of memory for reading; ValueError below what it takes to read at all."""
    from ..cas.read.memorylimit import LEAST

    found = size(text)
    if found < LEAST:
        raise ValueError("write a size of at least 64MiB")
    return found


def duration(text: str) -> float:
    """Seconds from `14d`, `500 ms` or `30`; ValueError says how to write it.

    A lone `m` is none: `grace` may have meant a month.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a duration, for example 14d, 12h, 5min, 30s or 500ms")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST:
        raise ValueError("write a duration of at most 36525d")
    return seconds


def count(text: str) -> int:
    """A whole number from 0 on; ValueError says so."""
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise ValueError("write a whole number")
    return int(text)


def effort(text: str) -> str:
    """The name of an effort; ValueError says which there are."""
    word = text.strip().lower()
    if word not in EFFORTS:
        raise ValueError("write fast, balanced or small")
    return word
