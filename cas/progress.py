"""How far a long operation is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """How far a long operation is; `done` and `total` count bytes, total may still grow.

    The operation changes it in place; `notify` is called after each change, in the event loop, and
    must return at once.
    """

    done: int = 0
    total: int = 0
    files: int = 0
    current: str = ""
    notify: Callable[["Progress"], None] | None = None

    def advance(self, size: int, current: str = "") -> None:
        """`size` more bytes are done, of the object that `current` names."""
        self.done += size
        if current:
            self.current = current
        if self.notify is not None:
            self.notify(self)
