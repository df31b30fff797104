"""Push and pull: repositories sent to another store, or fetched from one."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence

import trio

from .cas.progress import Progress
from .cas.refnames import parse_address
from .cas.store import Store
from .cas.transfer.counterparts import FOLDER, Alike, Counterparts, Table
from .cas.transfer.report import TransferReport, TransferRequest
from .cas.transfer.transfer import Transfer
from .otherstore import Other, open_other


async def push(
    store: Store,
    other: Other,
    request: TransferRequest,
    progress: Progress | None = None,
) -> TransferReport:
    """Send repositories of `store` to the `other` one; what was sent."""
    async with open_other(other) as dest, counterparts_of(store, dest, back=False) as known:
        transfer = Transfer(store, dest, known, request, progress or Progress())
        return await transfer.run(dry_run=other.dry_run)


async def pull(
    store: Store,
    other: Other,
    request: TransferRequest,
    progress: Progress | None = None,
) -> TransferReport:
    """Fetch repositories of the `other` store into `store`; what was fetched."""
    async with open_other(other) as source, counterparts_of(store, source, back=True) as known:
        transfer = Transfer(source, store, known, request, progress or Progress())
        return await transfer.run(dry_run=other.dry_run)


@contextlib.asynccontextmanager
async def counterparts_of(own: Store, other: Store, *, back: bool) -> AsyncIterator[Counterparts]:
    """What knows the ids of both stores, kept in the folder of `own`; with `back` what is sent
    comes from the other one. KeyNeededError where a key is missing."""
    own.members.cipher.require()
    other.members.cipher.require()
    if own.index.ids.of(b"") == other.index.ids.of(b""):
        yield Alike()
        return
    path = os.path.join(own.path, FOLDER, other.id.hex())
    table = await trio.to_thread.run_sync(lambda: Table(path, back=back))
    try:
        yield table
    finally:
        table.close()


def request_of(
    addresses: Sequence[str],
    *,
    tags: bool = False,
    force: bool = False,
    preflight: bool = True,
    names: tuple[str, str] = ("the store", "the other store"),
) -> TransferRequest:
    """What was asked for, in words; UsageError where an address is none."""
    found = [parse_address(each) for each in addresses]
    return TransferRequest(found, tags=tags, force=force, preflight=preflight, names=names)
