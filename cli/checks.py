"""What `doctor` finds: findings of four levels, and how a check is kept from ending the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from ..errors import ModelFloatError
from .output import one_line


class Level(IntEnum):
    """How bad a finding is; damage is a problem that has reached stored bytes."""

    OK = 0
    WARNING = 1
    PROBLEM = 2
    DAMAGE = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and with `remedy` how to mend it."""

    check: str
    level: Level
    text: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, remedy: str = "") -> Finding:
    """Something that works, but not as it should, or that one should know of."""
    return Finding(check, Level.WARNING, text, remedy)


def problem(check: str, text: str, remedy: str = "") -> Finding:
    """Something that does not work."""
    return Finding(check, Level.PROBLEM, text, remedy)


def examine(name: str, check: Check) -> list[Finding]:
    """Run one check; whatever it raises is what it found."""
    try:
        return list(check())
    except ModelFloatError as error:
        what, _, remedy = one_line(str(error)).partition("; ")
        return [problem(name, what, remedy)]
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return [problem(name, one_line(f"{where}{error.strerror or error}"))]
    except Exception as error:  # noqa: BLE001  a check that fails must not hide what others find
        return [problem(name, one_line(f"unexpected {type(error).__name__}: {error}"))]
