"""Catching up: journal records that the index has missed, after a crash between the two.

A slot is settled by whoever holds its lock: the records behind the last one that the index knows
are applied, and an id that was not closed in good order is given up for a fresh one. A put that
was given up may still arrive later, so a number that looks unused may be in use.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import KeyExistsError
from ..ids import ObjectId, StoreId, WriterId
from .copies import load_record, record_name, store_record
from .formats.chunktable import Kind
from .formats.journal import PackStored, decode_record
from .index import Index
from .locks import each_free
from .members import Members
from .slots import PREFIX, Slot, read_slot, write_slot

ReadObjects = Callable[[PackStored], Awaitable[dict[ObjectId, bytes]]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Settles writer slots. `folder` holds them, `copies` is m+1."""

    folder: str
    store: StoreId
    index: Index
    members: Members
    copies: int
    read_objects: ReadObjects

    async def others(self) -> None:
        """Settle every slot that nobody holds; ours is held and left alone."""
        with contextlib.closing(each_free(self.folder, PREFIX)) as paths:
            for path in paths:
                await self.settle(path)

    async def settle(self, path: str) -> Slot:
        """Bring the index up to date with a slot's writer, whose lock the caller holds.

        The slot that may be used from now on: the same if it was closed in good order.
        """
        slot = read_slot(path)
        if slot is not None:
            if slot.closed != self.index.writer(slot.writer)[0]:
                await self.apply_missed(slot.writer)
            last, _ = self.index.writer(slot.writer)
            if slot.closed == last:
                return slot
            if slot.closed is not None and slot.closed > last:
                name = record_name(slot.writer, last + 1)
                log.warning("%s is not to be found: what it announced is missing here", name)
        slot = Slot.fresh()
        write_slot(path, slot)
        return slot

    async def apply_missed(self, writer: WriterId) -> None:
        """Apply the records of a writer, which is not at work, that follow the last known one."""
        while True:
            last, digest = self.index.writer(writer)
            seq = last + 1
            data = await load_record(self.members, self.store, writer, seq, digest, self.copies)
            if data is None:
                return
            name = record_name(writer, seq)
            record = decode_record(data, name)
            log.info("applying %s, which the index had missed", name)
            # A crash may have come between two copies: make sure that all are there.
            try:
                await store_record(self.members, writer, seq, data, self.copies)
            except KeyExistsError as error:
                log.warning("a copy of %s differs (%s); `verify --repair` mends it", name, error)
            objects: dict[ObjectId, bytes] = {}
            for entry in record.entries:
                if isinstance(entry, PackStored) and entry.kind is Kind.OBJECT:
                    objects |= await self.read_objects(entry)
            await self.index.write(self.index.apply, record, objects)
