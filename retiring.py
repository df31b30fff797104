"""Backends taken off a store's list, once their shards are elsewhere.

What lies there besides is not touched: `add_backend` brings them back.
"""

from dataclasses import replace
from typing import Final

import trio

from .cas.gc.others import Others
from .cas.locks import locked
from .cas.progress import Progress
from .cas.store import Store
from .config import read_config
from .draining import Moved, MoveRequest, drain_backend, find_backend
from .errors import BusyError, one_failure
from .marking import announce
from .opening import open_store
from .storeconfig import BackendConfig

WHAT: Final = "modelfloat backend rm"


async def remove_backend(
    path: str, name: str, request: MoveRequest | None = None, progress: Progress | None = None
) -> Moved:
    """Move the shards on the backend `name` away, and take it off the list of the store in `path`.

    Errors as from `drain_backend`; BusyError too where a shard has to stay there, or where it
    decides between folders that share the store and that is not forced. UnavailableError, unless it
    is forced, where one backend alone has more journal records than are taken over at once.
    """
    asked = request or MoveRequest()
    if not asked.force:
        with one_failure():
            await _refuse_home(path, name, asked.wait)
    moved = await drain_backend(path, name, asked, progress)
    if asked.dry_run:
        return moved
    with one_failure():
        await _let_writers_see(path, asked.wait)
        await _remove(path, name, asked)
    async with open_store(path, wait=asked.wait) as store:
        return replace(moved, survives=await store.survives())


async def _refuse_home(path: str, name: str, wait: bool) -> None:
    async with open_store(path, wait=wait) as store:
        await trio.Path(store.access.lock("")).mkdir(exist_ok=True)
        for member in store.members:
            if member.name == name:
                await store.access.sharing.require_dispensable(member.id)


async def _let_writers_see(path: str, wait: bool) -> None:
    """Return when writers elsewhere have ended who may not have seen that a backend is leaving."""
    async with open_store(path, wait=wait) as store:
        access = store.access
        if await access.sharing.is_shared():
            site, folder = await access.sharing.site(), access.lock("")
            await Others(store.members, site, folder, access.copies).let_finish(wait=wait)


async def _remove(path: str, name: str, asked: MoveRequest) -> None:
    wait = asked.wait
    async with open_store(path, wait=wait) as store:
        lock = store.access.lock("config")
        # Alone, and with every record applied that can be found: nobody puts a shard there now.
        async with (
            store.access.writing(WHAT, alone=True) as journal,
            locked(lock, wait=wait, what=WHAT),
        ):
            if await store.access.sharing.is_shared():
                # Others may have put shards there since these were moved. Of one that tells of
                # records without end nobody can know, but whoever removes it.
                await journal.take_over(every=not asked.force)
            config = await trio.to_thread.run_sync(read_config, store.path)
            gone = find_backend(config, name)
            await trio.to_thread.run_sync(_refuse_used, store, gone)
            left = tuple(each for each in config.backends if each is not gone)
            await announce(store.path, replace(config, backends=left), gone=gone)


def _refuse_used(store: Store, gone: BackendConfig) -> None:
    """BusyError where the index has shards there, good ones or not."""
    packs = sum(gone.id in pack.backends for pack in store.index.packs())
    if packs:
        raise BusyError(
            f"shards of {packs:,} packs stay on {gone.name}: run it again when the others are "
            "back; what is lost goes with `modelfloat rm` and `modelfloat gc --grace 0`"
        )
