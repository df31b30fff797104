"""How long a call waited for its turn: that is no fault of the backend, and no deadline counts it.

    with waiting.counted() as waited:
        await backend.put(…)
    waited.seconds

Concurrency: tasks that are started inside count for the same block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Waited:
    """Seconds that the calls of a block waited; those of `outer` blocks wait with them."""

    outer: "Waited | None" = None
    seconds: float = 0.0


_BLOCK: Final[ContextVar[Waited | None]] = ContextVar("waited", default=None)


@contextmanager
def counted() -> Iterator[Waited]:
    """A block whose waiting is counted."""
    waited = Waited(_BLOCK.get())
    token = _BLOCK.set(waited)
    try:
        yield waited
    finally:
        _BLOCK.reset(token)


def note(seconds: float) -> None:
    """A call waited so long."""
    block = _BLOCK.get()
    while block is not None:
        block.seconds += seconds
        block = block.outer
