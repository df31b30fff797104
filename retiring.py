"""Backends taken off a store's list. Nothing on them is touched: `add_backend` brings them back."""

import contextlib
from dataclasses import replace
from typing import Final

import trio

from .backends.marker import write_marker
from .cas.locks import locked
from .cas.store import Store
from .config import BackendConfig, StoreConfig, read_config, write_config
from .configured import close_all, marker_of, open_configured
from .errors import BusyError, ModelFloatError, NotFoundError, one_failure
from .ids import BackendId
from .opening import open_store

WHAT: Final = "modelfloat backend rm"


async def remove_backend(path: str, name: str, *, wait: bool = True) -> str:
    """Take the backend `name` off the list of the store in `path`; what it survives now, in a line.

    NotFoundError where there is none of that name, BusyError where it is the only one, or the
    index has a shard there. LockedError when others are at work and `wait` is False.
    """
    with one_failure():
        await _remove(path, name, wait)
    async with open_store(path, wait=wait) as store:
        return await store.survives()


async def _remove(path: str, name: str, wait: bool) -> None:
    async with open_store(path, wait=wait) as store:
        lock = store.access.lock("config")
        # Alone, and with every record applied that can be found: nobody puts a shard there now.
        async with (
            store.access.writing(WHAT, alone=True),
            locked(lock, wait=wait, what=WHAT),
        ):
            config = await trio.to_thread.run_sync(read_config, store.path)
            gone = _find(config, name)
            await trio.to_thread.run_sync(_refuse_used, store, gone)
            left = tuple(each for each in config.backends if each is not gone)
            await _take_off(store.path, replace(config, backends=left))


def _find(config: StoreConfig, name: str) -> BackendConfig:
    for each in config.backends:
        if each.name == name:
            if len(config.backends) == 1:
                raise BusyError(
                    f"{name} is the store's only backend; add another one first, with "
                    "`modelfloat backend add`"
                )
            return each
    names = ", ".join(each.name for each in config.backends)
    raise NotFoundError(f"the store has no backend {name}; it has {names}")


def _refuse_used(store: Store, gone: BackendConfig) -> None:
    """BusyError where the index has shards there, good ones or not."""
    packs = _packs_on(store, gone.id)
    if packs:
        raise BusyError(
            f"shards of {packs:,} packs are on {gone.name}: while it is away `modelfloat verify "
            "--repair` makes them again on the others; what is lost goes with `modelfloat rm` and "
            "`modelfloat gc --grace 0`"
        )


def _packs_on(store: Store, backend: BackendId) -> int:
    return sum(backend in pack.backends for pack in store.index.packs())


async def _take_off(path: str, config: StoreConfig) -> None:
    """Write the configuration, then tell the markers of those that stay."""
    await trio.to_thread.run_sync(write_config, path, config)
    opened = [open_configured(path, each) for each in config.backends]
    try:
        for each, backend in zip(config.backends, opened, strict=True):
            # One that is down now hears of it with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, marker_of(config, each, opened), new=False)
    finally:
        await close_all(opened)
