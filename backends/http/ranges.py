"""Answers to requests for a range (RFC 9110, section 14): whether it is that, and its bytes."""

import re
from typing import Final

from .client import TooLongError

_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NO_RANGE: Final = re.compile(r"bytes \*/(\d{1,18})")


def last_of(said: str, offset: int, last: int) -> int | None:
    """The last byte of a range that begins at `offset` and was asked for up to `last`, from the
    header `Content-Range`; None where that speaks of another one."""
    match = _RANGE.fullmatch(said)
    if match is None or int(match[1]) != offset or int(match[2]) > last:
        return None
    return int(match[2])


def size_without(said: str) -> int | None:
    """The size that a refusal of a range tells (status 416), None where it tells none."""
    match = _NO_RANGE.fullmatch(said)
    return None if match is None else int(match[1])


class Filling:
    """A buffer that fills with what comes; TooLongError where that is more."""

    def __init__(self, target: memoryview) -> None:
        self._target = target
        self.done = 0

    def take(self, data: bytes) -> None:
        """The next bytes."""
        if self.done + len(data) > len(self._target):
            raise TooLongError(f"more than {len(self._target)} bytes")
        self._target[self.done : self.done + len(data)] = data
        self.done += len(data)
