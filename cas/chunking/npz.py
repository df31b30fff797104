"""NumPy's file format for several arrays: a zip archive whose members are `.npy` files."""

import logging
from collections.abc import Iterator
from typing import Final

from .npy import find_array
from .parser import Source
from .regions import Region
from .room import Room
from .zipdirectory import Entry, Member

_SUFFIX: Final = ".npy"
_LOG: Final = logging.getLogger(__name__)


def is_npz(entries: list[Entry]) -> bool:
    """Whether an archive of these members is NumPy's: all of them are arrays, and there is one."""
    return bool(entries) and all(entry.name.endswith(_SUFFIX.encode()) for entry in entries)


def npz_regions(source: Source, members: list[Member], room: Room) -> Iterator[Region]:
    """The elements of each array that is stored as it is, in file order."""
    for member in members:
        if not member.stored:
            continue
        name = member.name.removesuffix(_SUFFIX)
        try:
            array = find_array(source, member.offset, member.size, name)
        except ValueError as error:
            _LOG.debug("member %r is no array: %s", member.name, error)
            continue
        if array.size:
            room.keep(array.name, array.shape)
            yield array
