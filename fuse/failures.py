"""From errors to errno, in one table, with a log line for whatever a user should hear of.

Programs see only a number; the line says what happened, to which file, and for which process.
"""

import errno
import logging
import os
from typing import Final

from ..errors import ModelFloatError, NotFoundError, UnsupportedError, UsageError

_TABLE: Final[tuple[tuple[type[ModelFloatError], int], ...]] = (
    (NotFoundError, errno.ENOENT),
    (UsageError, errno.ENOENT),
    (UnsupportedError, errno.EOPNOTSUPP),
    (ModelFloatError, errno.EIO),
)
_QUIET: Final = frozenset({errno.ENOENT, errno.EOPNOTSUPP})

log = logging.getLogger(__name__)


def refusal(number: int) -> OSError:
    """The error that answers a request with `number` and needs no explanation."""
    return OSError(number, os.strerror(number))


def errno_of(error: ModelFloatError) -> int:
    """The number that a program sees for an error of the engine."""
    return next(number for kind, number in _TABLE if isinstance(error, kind))


def engine_failure(error: Exception, request: str, label: str, pid: int) -> OSError:
    """The answer to a `request` on `label` by process `pid` (0: unknown) that failed; logs it.

    Groups are answered by their first ModelFloatError. Anything that is no error of ours is a
    mistake in the program: it is logged with its traceback and answered by EIO.
    """
    cause = _cause(error)
    if cause is None:
        log.error("%s of %s (pid %d) failed unexpectedly", request, label, pid, exc_info=error)
        return refusal(errno.EIO)
    number = errno_of(cause)
    if number not in _QUIET:
        log.error("%s of %s (pid %d): %s", request, label, pid, cause)
    return refusal(number)


def _cause(error: BaseException) -> ModelFloatError | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for e in error.exceptions if (found := _cause(e)) is not None), None)
    return error if isinstance(error, ModelFloatError) else None
