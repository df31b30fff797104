"""Reads without the event loop: of backends that answer a thread about as fast as memory does.

Handing a read to another thread and back costs as much as reading 100 KiB of a local file. Who is
in a worker thread anyway may read there, where the backend offers it; without its limiter and its
deadline: these are then the caller's business, and so is a backend that hangs.
"""

from typing import Protocol

from ..ids import Key
from .base import Backend


class Direct(Protocol):
    """The part of a backend that reads in the calling thread."""

    def read_now(self, key: Key, offset: int, buffer: memoryview) -> None:
        """`Backend.get_into`, in the calling thread, which it blocks; the same failures."""
        ...


def direct(backend: Backend) -> Direct | None:
    """How to read that backend in the calling thread; None where it must be awaited."""
    found: Direct | None = getattr(backend, "direct", None)
    return found
