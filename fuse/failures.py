"""From errors to errno, in one table, with a log line for whatever a user should hear of.

Programs see only a number; the line says what happened, to which file, and for which process.
"""

import errno
import logging
import os
import time
from collections import deque
from typing import Final

from ..errors import (
    ModelFloatError,
    NotFoundError,
    SignatureError,
    UnsupportedError,
    UsageError,
)
from .mountstate import ReadError

KEPT: Final = 100
"""Failures that a mount remembers."""
_LONGEST: Final = 1000
"""Characters of a failure's cause that are remembered."""

_TABLE: Final[tuple[tuple[type[ModelFloatError], int], ...]] = (
    (NotFoundError, errno.ENOENT),
    (UsageError, errno.ENOENT),
    (SignatureError, errno.EACCES),
    (UnsupportedError, errno.EOPNOTSUPP),
    (ModelFloatError, errno.EIO),
)
_QUIET: Final = frozenset({errno.ENOENT, errno.EOPNOTSUPP})

log = logging.getLogger(__name__)


class RecentErrors:
    """The last failures of a mount, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[ReadError] = deque(maxlen=KEPT)

    def add(self, file: str, pid: int, cause: str) -> None:
        """One more: the oldest goes where there are too many."""
        self._kept.append(ReadError(time.time_ns(), file, pid, cause[:_LONGEST]))

    def all(self) -> tuple[ReadError, ...]:
        """What is remembered."""
        return tuple(self._kept)


def refusal(number: int) -> OSError:
    """The error that answers a request with `number` and needs no explanation."""
    return OSError(number, os.strerror(number))


def number_of(error: Exception) -> int:
    """What a binding answers by, for whatever left `Operations`; a mistake of ours is logged."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    log.error("a request failed unexpectedly", exc_info=error)
    return errno.EIO


def errno_of(error: ModelFloatError) -> int:
    """The number that a program sees for an error of the engine."""
    return next(number for kind, number in _TABLE if isinstance(error, kind))


def engine_failure(
    error: Exception, request: str, label: str, pid: int, recent: RecentErrors
) -> OSError:
    """The answer to a `request` on `label` by process `pid` (0: unknown) that failed.

    What a user should hear of is logged and remembered in `recent`. Groups are answered by their
    first ModelFloatError. Anything that is no error of ours is a mistake in the program: it is
    logged with its traceback and answered by EIO.
    """
    cause = _cause(error)
    if cause is None:
        log.error("%s of %s (pid %d) failed unexpectedly", request, label, pid, exc_info=error)
        recent.add(label, pid, f"unexpected {type(error).__name__}: {error}")
        return refusal(errno.EIO)
    number = errno_of(cause)
    if number not in _QUIET:
        log.error("%s of %s (pid %d): %s", request, label, pid, cause)
        recent.add(label, pid, str(cause))
    return refusal(number)


def _cause(error: BaseException) -> ModelFloatError | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for e in error.exceptions if (found := _cause(e)) is not None), None)
    return error if isinstance(error, ModelFloatError) else None
