"""The stack and the memo of a pickle in the reading, with a limit to what they hold."""

from typing import Final

from .picklevalues import size_of

ROOM: Final = 64 << 20
"""Bytes that all values of a pickle take together, at most: about 1 KB describes a tensor. What is
made of them is counted elsewhere (`room`)."""
STACK_LIMIT: Final = 1 << 20
"""Most values on the stack; picklers put them into their containers by the thousand."""
MARK_LIMIT: Final = 1 << 16
"""Most containers that are open within each other."""
MEMO_LIMIT: Final = 1 << 21
"""Most values remembered; some 12 for a tensor."""


class Stack:
    """Values one upon the other, marks between them. ValueError for what is not there, and for
    what is too much."""

    def __init__(self, room: int | None = None) -> None:
        self._values: list[object] = []
        self._marks: list[int] = []
        self._memo: list[object] = []
        self._room = self._given = ROOM if room is None else min(room, ROOM)

    @property
    def used(self) -> int:
        """Bytes of memory counted so far."""
        return self._given - self._room

    def new(self, value: object) -> None:
        """Put a value on top that did not exist before."""
        self.take(size_of(value))
        self.push(value)

    def take(self, size: int) -> None:
        """Count so many bytes of memory."""
        if size > self._room:
            raise ValueError(f"values of more than {self._given:,} bytes")
        self._room -= size

    def push(self, value: object) -> None:
        """Put a value on top that exists already."""
        if len(self._values) == STACK_LIMIT:
            raise ValueError(f"more than {STACK_LIMIT:,} values on the stack")
        self._values.append(value)

    def pop(self) -> object:
        """Take the value on top."""
        if len(self._values) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("nothing on the stack")
        return self._values.pop()

    def top(self) -> object:
        """The value on top, which stays."""
        value = self.pop()
        self._values.append(value)
        return value

    def mark(self) -> None:
        """Mark where the contents of a container begin."""
        if len(self._marks) == MARK_LIMIT:
            raise ValueError(f"more than {MARK_LIMIT:,} marks")
        self._marks.append(len(self._values))

    def pop_marked(self) -> list[object]:
        """Take the last mark and all values above it."""
        if not self._marks:
            raise ValueError("no mark on the stack")
        mark = self._marks.pop()
        values = self._values[mark:]
        del self._values[mark:]
        return values

    def drop(self) -> None:
        """Take the value on top, or the mark where that is on top."""
        if self._marks and self._marks[-1] == len(self._values):
            self._marks.pop()
        else:
            self.pop()

    def put(self, index: int) -> None:
        """Remember the value on top under a number; picklers count them without gaps."""
        if not 0 <= index <= min(len(self._memo), MEMO_LIMIT):
            raise ValueError(f"number {index} of the memo, which has {len(self._memo)}")
        self._memo[index : index + 1] = [self.top()]

    def memoize(self) -> None:
        """Remember the value on top under the next number."""
        self.put(len(self._memo))

    def get(self, index: int) -> None:
        """Put the value that is remembered under a number on top."""
        if not 0 <= index < len(self._memo):
            raise ValueError(f"number {index} of the memo, which has {len(self._memo)}")
        self.push(self._memo[index])
