"""Packs whose sums the index lacks, counted from their footers.

An index of an earlier format knew of no element types. The first to ask for figures has the footers
read, some hundred bytes a chunk of 64 MiB, and the index keeps what was found.
"""

import logging
from collections.abc import Sequence
from typing import Final

import trio

from ..errors import BackendError, FormatError, ModelFloatError, ShardDamagedError
from ..ids import PackNumber
from .formats.chunktable import Kind, PackedChunk
from .index.index import Index
from .index.records import PackRecord
from .index.sums import Sums, sums_of
from .packs.pool import Pool
from .packs.scrutiny import read_footer

BATCH: Final = 64
"""Packs whose footers are read at once, and noted together."""

log = logging.getLogger(__name__)

Counted = dict[PackNumber, Sums]


async def count_packs(index: Index, pool: Pool) -> Counted:
    """The sums of packs of data that the index has none of; what it can write it has from now on.

    A pack whose footers cannot be had now is left out.
    """
    found: Counted = {}
    packs = await trio.to_thread.run_sync(index.uncounted)
    missing = [pack for pack in packs if pack.kind is Kind.DATA]
    for at in range(0, len(missing), BATCH):
        counted = await _count(pool, missing[at : at + BATCH])
        if counted and not index.read_only:
            await _note(index, counted)
        found.update({pack.number: sums for pack, sums in counted.items()})
    return found


async def _note(index: Index, counted: dict[PackRecord, Sums]) -> None:
    try:
        await index.write(index.note_sums, counted)
    except ModelFloatError as error:
        log.warning("the next to ask for figures will count these packs again: %s", error)


async def _count(pool: Pool, packs: Sequence[PackRecord]) -> dict[PackRecord, Sums]:
    found: dict[PackRecord, Sums] = {}

    async def one(pack: PackRecord) -> None:
        chunks = await _table(pool, pack)
        # What contradicts the pack's record is no figure to keep.
        if (sum(c.raw for c in chunks), sum(c.stored for c in chunks)) == (pack.raw, pack.length):
            found[pack] = sums_of(chunks)

    async with trio.open_nursery() as nursery:
        for pack in packs:
            nursery.start_soon(one, pack)
    return found


async def _table(pool: Pool, pack: PackRecord) -> Sequence[PackedChunk]:
    """The pack's chunk table from the first footer that has one and can be read; else nothing."""
    for index in range(pack.k - 1, pack.n):
        try:
            footer = await read_footer(pool, pack, index)
        except (BackendError, ShardDamagedError, FormatError) as error:
            log.info("%s", error)
            continue
        if footer.chunks is not None:
            return footer.chunks
    return ()
