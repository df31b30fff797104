"""How a new index takes the place of the old one, and what writers' slots learn of that."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from typing import Final

from ...durable import sync_folder
from ...ids import WriterId
from ..index.index import Index
from ..journal.lateplaces import keep_late
from ..journal.slots import PREFIX, Slot, given_up, note_given_up, write_slot
from ..locks import each_free
from .exchange import put_in_place

INDEX: Final = "index"
DRAFT: Final = "index.rebuild"
KEPT: Final = "index.damaged-"
"""What an old index is called, with a number."""


def replace_index(path: str) -> tuple[str, list[str]]:
    """Give the new index its name; the folder that the old one is kept in, "" for none,
    and those of earlier ones, which are removed for it."""
    former = put_in_place(os.path.join(path, DRAFT), os.path.join(path, INDEX))
    Index.forget(os.path.join(path, INDEX))
    if former is None:
        return "", []
    kept = sorted(name for name in os.listdir(path) if _number(name) is not None)
    number = max((_number(name) or 0 for name in kept), default=0) + 1
    os.rename(former, os.path.join(path, f"{KEPT}{number}"))
    sync_folder(path)
    for name in kept:
        shutil.rmtree(os.path.join(path, name), ignore_errors=True)
    return f"{KEPT}{number}", kept


def _number(name: str) -> int | None:
    number = name.removeprefix(KEPT)
    return int(number) if number != name and number.isdecimal() else None


def give_up_slots(folder: str, known: Mapping[WriterId, int]) -> None:
    """Give up every writer id: what a backend that is away holds of it was not seen.

    Their last numbers are noted, else a later loss of these records would not be noticed.
    """
    noted = given_up(folder)
    news = {writer: last for writer, last in known.items() if last > noted.get(writer, -1)}
    if news:
        note_given_up(folder, news)
    # The new index has them, and may have later ones.
    keep_late(folder)
    with contextlib.closing(each_free(folder, PREFIX)) as paths:
        for path in paths:
            write_slot(path, Slot.fresh())
