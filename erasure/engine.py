"""What applies a coefficient matrix to shards, and which engine this machine gets."""

import logging
from collections.abc import Callable, Hashable
from functools import cache
from threading import Lock
from typing import Final, Protocol

from ..errors import UnsupportedError
from . import fallback, isal
from .columns import Columns
from .field import Matrix

_LOG: Final = logging.getLogger(__name__)
_LOCK: Final = Lock()

Transform = Callable[[Columns], None]
"""Fills the targets from the sources, in place; at least one byte, source and target.

Any thread may call it, several at once; it spends its time without the GIL.
"""


class Engine(Hashable, Protocol):
    """One way to compute in GF(2^8) over long columns of bytes."""

    @property
    def name(self) -> str:
        """How messages and benches call it."""
        ...

    def compile(self, matrix: Matrix) -> Transform:
        """Prepare target i = Σ matrix[i, j]·source j, for a matrix of shape (targets, sources)."""
        ...


def default_engine() -> Engine:
    """ISA-L where the system has it, else NumPy with one warning in the log."""
    with _LOCK:
        return _choose()


@cache
def _choose() -> Engine:
    try:
        return isal.load()
    except UnsupportedError as error:
        _LOG.warning("%s; erasure coding falls back to NumPy and is slower", error)
        return fallback.NumPyEngine()
