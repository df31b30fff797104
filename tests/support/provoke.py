"""How each message of `docs/errors.md` comes about: commands and calls that fail with it.

`PROVOKED` has, for the beginning or another telling part of a row's message, what provokes it in a
`Scene`. `ELSEWHERE` names the tests that provoke what needs more than a command: a machine without
FUSE, a disk that lies, two processes at once. Both are put together here from `provoking`, which
has a file for each subject.
"""

from collections.abc import Mapping
from typing import TypeVar

from modelfloat.tests.support.provoking import (
    backends,
    configuration,
    elsewhere,
    elsewhere_backends,
    elsewhere_keys,
    machine,
    places,
    presence,
    signatures,
    usage,
)
from modelfloat.tests.support.provoking.scene import Provocation

_T = TypeVar("_T")


def _together(*tables: Mapping[str, _T]) -> dict[str, _T]:
    """All rows; none may be in two tables, where one would hide the other."""
    rows = [row for table in tables for row in table.items()]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


PROVOKED: dict[str, Provocation] = _together(
    usage.PROVOKED,
    places.PROVOKED,
    presence.PROVOKED,
    configuration.PROVOKED,
    signatures.PROVOKED,
    machine.PROVOKED,
    backends.PROVOKED,
)
ELSEWHERE: dict[str, str] = _together(
    elsewhere.ELSEWHERE, elsewhere_backends.OF_BACKENDS, elsewhere_keys.OF_KEYS
)
"""Rows that need a mount, a second process or a failing disk, and the tests that do it."""

UNPROVOKED: tuple[str, ...] = (
    "was refused (‹reason›); libfuse",
    "=no backend is up",
    "made anew while gc ran",
    "has a name that cannot be stored",
)
"""Rows that no test brings about yet: each is a race, or a state that an earlier check forbids."""
