"""The engine opened: the index looked at, the backends too, and what runs beside a store started.

Concurrency: everything runs in one event loop, which `open_engine` is entered in; a store must not
be used after it was left.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence

import trio

from ..erasure.scheme import Scheme
from ..ids import StoreId
from .catalog import check_index
from .formats.chunkids import PLAIN
from .index.index import Index
from .openoptions import OpenOptions
from .packs.members import Member, Members
from .store import Store


@contextlib.asynccontextmanager
async def open_engine(
    path: str, scheme: Scheme, members: Sequence[Member], store: StoreId, options: OpenOptions
) -> AsyncIterator[Store]:
    """Open the store at `path` over backends that the caller opened; `store` is its id.

    New packs are of `scheme`. IndexDamagedError where the index is another store's.
    """
    found = Members(store, list(members), options.cipher)
    index = Index.open(os.path.join(path, "index"))
    if not options.cipher.locked or index.ids is PLAIN:
        # The index is one for all that opened it in this process, some with the key.
        index.ids = options.cipher.ids
    try:
        check_index(index, store, path)
        await found.look()
        async with trio.open_nursery() as nursery:
            engine = Store(path, scheme, index, found, nursery, options)
            nursery.start_soon(found.watch)
            nursery.start_soon(engine.pool.watch)
            nursery.start_soon(engine.sightings.run)
            if engine.read_repair is not None:
                nursery.start_soon(engine.read_repair.run)
            if engine.disk is not None:
                nursery.start_soon(engine.disk.writer.run)
            yield engine
            nursery.cancel_scope.cancel()
        await engine.sightings.write()
    finally:
        index.close()
        with trio.CancelScope(shield=True):
            await found.aclose()
