"""Backends added to a store, and changed: each is marked before the configuration names it."""

import contextlib
import os
from dataclasses import replace
from typing import TypedDict

import trio

from .backends.conditional import keeps_conditions
from .backends.marker import read_marker, write_marker
from .backends.registry import is_probed
from .cas.locks import locked
from .config import read_config, write_config
from .configured import announce, close_all, marker_of, open_configured, put_keyring
from .errors import ExistsError, ModelFloatError, UsageError
from .ids import BackendId, random_backend_id
from .opening import open_store
from .storeconfig import BackendConfig, StoreConfig


async def add_backend(
    path: str,
    name: str,
    url: str,
    domain: str | None = None,
    weight: float = 1.0,
    capacity: int | None = None,
    rate: str | None = None,
) -> str:
    """Make `url` a backend of the store in `path`; what the store survives now, in a line.

    `capacity` is how many bytes of shards it may hold, None where only its space limits them;
    `rate` how much may be asked of it, None where that is for its provider to say.
    """
    refuse_fleeting(url)
    async with locked(os.path.join(path, "locks", "config"), what="modelfloat backend add"):
        config = await trio.to_thread.run_sync(read_config, path)
        if any(backend.name == name for backend in config.backends):
            raise ExistsError(f"the store has a backend {name} already; choose another name")
        new = BackendConfig(name, url, random_backend_id(), domain, weight, capacity, rate=rate)
        new = replace(new, id=await _begun(path, config, new) or new.id)
        await _extend(path, replace(config, backends=(*config.backends, new)), new)
    async with open_store(path) as store:
        return await store.survives()


class BackendChanges(TypedDict, total=False):
    """What of a backend may change while it holds shards; as in `BackendConfig`."""

    domain: str
    weight: float
    capacity: int | None
    rate: str | None


async def change_backend(path: str, name: str, changes: BackendChanges) -> str:
    """Change the backend `name` of the store in `path`; what the store survives now, in a line.

    What is stored stays where it lies. NotFoundError where there is no backend of that name.
    """
    async with locked(os.path.join(path, "locks", "config"), what="modelfloat backend set"):
        config = await trio.to_thread.run_sync(read_config, path)
        changed = replace(config.backend(name), **changes)
        if changed.conditional_put is None:
            # As after its configuration was written anew from a marker.
            changed = await tried(path, changed)
        backends = tuple(changed if each.name == name else each for each in config.backends)
        await announce(path, replace(config, backends=backends))
    async with open_store(path) as store:
        return await store.survives()


async def _begun(path: str, config: StoreConfig, new: BackendConfig) -> BackendId | None:
    """The UUID that an interrupted `backend add` has marked the place with; None if there is none.

    Also that of a backend which is no longer in the configuration, and so comes back as it was.
    """
    with contextlib.suppress(ModelFloatError):
        backend = open_configured(path, new)
        try:
            marker = await read_marker(backend)
        finally:
            await backend.aclose()
        if marker.store == config.id and all(b.id != marker.backend for b in config.backends):
            return marker.backend
    return None


async def _extend(path: str, config: StoreConfig, new: BackendConfig) -> None:
    """Mark the new backend, remember it, then tell the others' markers about it."""
    fresh = open_configured(path, new, create=True)
    others = [(b, open_configured(path, b)) for b in config.backends if b.id != new.id]
    opened = [fresh, *(backend for _, backend in others)]
    try:
        await write_marker(fresh, marker_of(config, new, opened), new=True)
        await put_keyring(path, config, fresh)
        probed = await tried(path, new)
        backends = tuple(probed if each.id == new.id else each for each in config.backends)
        write_config(path, replace(config, backends=backends))
        for each, backend in others:
            # A backend that is down now learns of the others with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, marker_of(config, each, opened), new=False)
    finally:
        await close_all(opened)


async def tried(path: str, config: BackendConfig) -> BackendConfig:
    """What is to be remembered of a backend that is marked: also whether it decides conditional
    puts, where it cannot say so by itself."""
    if not is_probed(config.url):
        return config
    trial = open_configured(path, replace(config, conditional_put=True))
    try:
        return replace(config, conditional_put=await keeps_conditions(trial))
    finally:
        await trial.aclose()


def refuse_fleeting(url: str) -> None:
    """UsageError for a place that keeps nothing."""
    if url.startswith("memory:"):
        raise UsageError(f"{url} keeps nothing when the command ends; use a directory")
