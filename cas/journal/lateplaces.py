"""Places of shards that came before their packs, kept on disk until these are known.

A record that says where a shard was moved may be another writer's than the one that stored the
pack, and be applied first. It is not applied twice: what it said would be lost where the process
ends in between. A line for each, in the folder of the lock files.

Concurrency: who reads and replaces the file holds LOCK meanwhile, and so does who adds to it.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from ...durable import append_lines, on_store_disk, replace_file
from ...ids import BackendId, PackId
from ..formats.journal import ShardPlaced

FILE: Final = "late-places"
LOCK: Final = "late"
"""The lock file of who works on it; held for a moment."""
MOST: Final = 100_000
"""Lines that are read: a journal can be made up that places shards of packs without end."""

_TEXT: Final = re.compile(rb"([0-9a-f]{32}) ([0-9]{1,3}) ([0-9a-f]{32})\n")


def note_late(folder: str, placed: Iterable[ShardPlaced]) -> None:
    """Remember places, durably; blocks. ModelFloatError where the disk takes nothing."""
    path = os.path.join(folder, FILE)
    with on_store_disk(path):
        append_lines(path, b"".join(map(_line, placed)))


def late_places(folder: str) -> list[ShardPlaced]:
    """What was remembered, of each shard the place that was told last; blocks."""
    try:
        with open(os.path.join(folder, FILE), "rb") as file:
            found = [_TEXT.fullmatch(line) for line in islice(file, MOST)]
    except FileNotFoundError:
        return []
    places = (_placed(match) for match in found if match is not None)
    return list({(placed.pack, placed.index): placed for placed in places}.values())


def is_any_late(folder: str) -> bool:
    """Whether anything was remembered; blocks."""
    return os.path.exists(os.path.join(folder, FILE))


def keep_late(folder: str, left: Sequence[ShardPlaced] = ()) -> None:
    """Remember these alone; blocks. ModelFloatError as from `note_late`."""
    path = os.path.join(folder, FILE)
    with on_store_disk(path):
        if left:
            replace_file(path, b"".join(map(_line, left)), 0o600)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _line(placed: ShardPlaced) -> bytes:
    return f"{placed.pack.hex()} {placed.index} {placed.backend.hex()}\n".encode()


def _placed(match: re.Match[bytes]) -> ShardPlaced:
    pack, index, backend = (text.decode() for text in match.groups())
    return ShardPlaced(PackId(bytes.fromhex(pack)), int(index), BackendId(bytes.fromhex(backend)))
