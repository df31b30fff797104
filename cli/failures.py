"""From exceptions to one line on stderr and an exit status."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Final

from ..errors import ModelFloatError
from .output import complain, flush, one_line
from .settings import Settings

FAILED: Final = 1
INTERRUPTED: Final = 130
"""What shells give a program that Ctrl-C ended: 128 + SIGINT."""
_HINTS: Final = {
    errno.ENOSPC: "; free some space",
    errno.EDQUOT: "; free some space, or ask for more",
    errno.EACCES: "; change its mode, or run this as its owner",
    errno.EPERM: "; change its mode, or run this as its owner",
    errno.EROFS: "; mount it writable, or use another place",
    errno.EIO: "; check the disk",
    errno.EMFILE: "; allow more open files (`ulimit -n`)",
}
"""What to do about an error of the system that nobody translated."""
_OF_BACKENDS: Final = "modelfloat.cas.packs.member"
"""The logger that says which backends count as down."""
_OF_MOUNTING: Final = ("modelfloat.fuse.mounting", "modelfloat.fuse.served")
"""The loggers that say how a mount comes and goes."""
BROKEN_PIPE: Final = 141
"""What shells give a program whose reader went away: 128 + SIGPIPE."""


def guarded(settings: Settings, work: Callable[[], int | None]) -> int:
    """Run a command's work and return its exit status; failures are told, none is raised."""
    _tell_warnings(settings)
    try:
        status = work() or 0
        flush()
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001  the last resort
        return report(error, verbose=settings.verbose)
    return status


def report(error: BaseException, *, verbose: bool) -> int:
    """Tell the user what went wrong, in one line; returns the exit status."""
    cause = first_cause(error)
    if isinstance(cause, KeyboardInterrupt):
        _fail("interrupted; repeat the command, it goes on where it was")
        return INTERRUPTED
    if isinstance(cause, BrokenPipeError):
        _abandon_stdout()
        return BROKEN_PIPE
    if verbose:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if isinstance(cause, ModelFloatError):
        _fail(str(cause))
        return cause.exit_status
    if isinstance(cause, OSError) and cause.errno is not None:
        _fail(_describe(cause))
        return FAILED
    hint = "" if verbose else "; run with --verbose for the traceback"
    _fail(f"unexpected {type(cause).__name__}: {cause}{hint}")
    return FAILED


def first_cause(error: BaseException) -> BaseException:
    """What to tell of an error, which may be a group from several tasks.

    An interrupt comes before everything; then the first ModelFloatError; then the first error.
    """
    causes = list(_leaves(error))
    for kind in (KeyboardInterrupt, ModelFloatError):
        for cause in causes:
            if isinstance(cause, kind):
                return cause
    return causes[0]


def _fail(text: str) -> None:
    """Tell of a failure; with its time where that is what a log has."""
    if any(isinstance(handler.formatter, _WithTime) for handler in _logger().handlers):
        _logger().error("%s", text)
    else:
        complain(text)


def _logger() -> logging.Logger:
    return logging.getLogger("modelfloat")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _describe(error: OSError) -> str:
    what = os.strerror(error.errno) if error.errno is not None else str(error)
    hint = _HINTS.get(error.errno or 0, "")
    name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{name}{what}{hint}"


def settle_stdout() -> None:
    """Let go of what could not be printed: it was told, and the interpreter would tell it again."""
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_stdout()


def _abandon_stdout() -> None:
    """Nobody reads any more; without this the interpreter would complain when it flushes."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


class _Stderr(logging.Handler):
    """Writes to what stderr is at that moment: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  logging's own rule: a failure of logging is told, not raised
            self.handleError(record)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"modelfloat: {record.levelname.lower()}: {one_line(record.getMessage())}"


class _WithTime(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        return f"{self.formatTime(record)} {level}: {one_line(record.getMessage())}"


def log_times() -> None:
    """Begin every logged line with its time, as a log that is kept needs it."""
    for handler in _logger().handlers:
        handler.setFormatter(_WithTime())


def tell_mounting(settings: Settings) -> None:
    """Have a mount's log begin with how it is mounted, and end with that it is no more."""
    if not settings.quiet:
        least = logging.DEBUG if settings.verbose else logging.INFO
        for name in _OF_MOUNTING:
            logging.getLogger(name).setLevel(least)


def leave_out_backends() -> None:
    """Tell nothing of backends that are down: the command's result does."""
    logging.getLogger(_OF_BACKENDS).setLevel(logging.ERROR)


def _tell_warnings(settings: Settings) -> None:
    """Send what the engine logs to stderr, in lines like our own."""
    handler = _Stderr()
    handler.setFormatter(_OneLine())
    logger = _logger()
    logger.handlers = [handler]
    logger.propagate = False
    logging.getLogger(_OF_BACKENDS).setLevel(logging.NOTSET)
    level = logging.DEBUG if settings.verbose else logging.WARNING
    logger.setLevel(logging.ERROR if settings.quiet else level)
