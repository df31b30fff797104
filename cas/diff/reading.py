"""Tensors that are read because their chunks do not tell whether they are the same.

They come in file order, so that a chunk which several small ones share is loaded once. Memory: a
piece of a tensor, and what the reader loads ahead.
"""

import contextlib
from collections.abc import Callable
from itertools import groupby
from typing import Final

import trio
from blake3 import blake3

from ..progress import Progress
from ..read.filereader import FileReader
from .ledger import Ledger
from .lookinto import PIECE
from .matching import Wanted, note_digests, wanted
from .tensors import naming

BATCH: Final = 2000
"""Tensors whose place is held in memory at once."""
IN_LOOP: Final = 64 << 10
"""Up to this many bytes are hashed at once: waking a thread takes longer."""

OpenFile = Callable[[int, int], tuple[FileReader, str]]
"""Opens a file by side and row, and says what it is called."""


async def read_wanted(ledger: Ledger, open_file: OpenFile, progress: Progress) -> None:
    """Read every tensor that is wanted, and note its BLAKE3. Errors name the file."""
    last: Wanted = (0, 0, 0, 0, 0)
    while places := await trio.to_thread.run_sync(wanted, ledger, last, BATCH):
        last = places[-1]
        found: list[tuple[bytes, int]] = []
        for (side, file), some in groupby(places, lambda place: place[:2]):
            reader, name = await trio.to_thread.run_sync(open_file, side, file)
            with contextlib.closing(reader), naming(name):
                found += [
                    (await _digest(reader, offset, size, progress), row)
                    for _, _, offset, row, size in some
                ]
        await trio.to_thread.run_sync(note_digests, ledger, found)


async def _digest(reader: FileReader, offset: int, size: int, progress: Progress) -> bytes:
    hasher = blake3()
    for at in range(offset, offset + size, PIECE):
        piece = await reader.read(at, min(PIECE, offset + size - at))
        if len(piece) <= IN_LOOP:
            hasher.update(piece)
        else:
            await trio.to_thread.run_sync(hasher.update, piece)
        progress.advance(len(piece))
    return hasher.digest()
