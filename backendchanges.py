"""Backends added to a store, and changed: each is marked before the configuration names it."""

import contextlib
import os
from dataclasses import replace
from typing import TypedDict

import trio

from .backends.agreement import Agreement
from .backends.marker import read_marker, write_marker
from .cas.ballast import set_aside
from .cas.encryption.storecipher import CLEAR, LOCKED
from .cas.locks import locked
from .cas.packs.members import Members
from .cas.reserve import Reserve
from .config import read_config, write_config
from .configured import close_all, members_of, open_configured, put_keyring, tried
from .errors import ExistsError, ModelFloatError, UsageError
from .ids import BackendId, StoreId, random_backend_id
from .marking import announce, marker_of, told_by
from .opening import open_store
from .redaction import redact
from .sharedlist import SharedList
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
    new = BackendConfig(name, url, random_backend_id(), domain, weight, capacity, rate=rate)
    known = {each.id for each in (await trio.to_thread.run_sync(read_config, path)).backends}
    # Another folder may have added backends, of that name or at that place.
    await take_over(path)
    async with locked(os.path.join(path, "locks", "config"), what="modelfloat backend add"):
        config = await trio.to_thread.run_sync(read_config, path)
        named = next((each for each in config.backends if each.name == name), None)
        begun = await _begun(path, config.id, new)
        if named is None:
            free = begun is not None and all(each.id != begun for each in config.backends)
            await _extend(path, config, replace(new, id=begun) if begun and free else new)
        elif named.id in known or named.id != begun:
            raise ExistsError(f"the store has a backend {name} already; choose another name")
        # Else the markers told of an `add` that was interrupted, and it is on the list now.
    async with open_store(path) as store:
        return await store.survives()


async def take_over(path: str) -> None:
    """Bring the list of the store in `path` up to date with what other folders made of theirs."""
    config = await trio.to_thread.run_sync(read_config, path)
    opened = await trio.to_thread.run_sync(members_of, path, config)
    members = Members(config.id, opened, LOCKED if config.encrypted else CLEAR)
    try:
        await members.look()
        await SharedList(path, config, members).follow(config)
    finally:
        with trio.CancelScope(shield=True):
            await members.aclose()


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
    await take_over(path)
    async with locked(os.path.join(path, "locks", "config"), what="modelfloat backend set"):
        config = await trio.to_thread.run_sync(read_config, path)
        changed = replace(config.backend(name), **changes)
        if changed.conditional_put is None:
            # As after its configuration was written anew from a marker.
            changed = await tried(path, changed)
        backends = tuple(changed if each.name == name else each for each in config.backends)
        await announce(path, replace(config, backends=backends), back=(changed.id,))
    async with open_store(path) as store:
        return await store.survives()


async def _begun(path: str, store: StoreId, new: BackendConfig) -> BackendId | None:
    """The UUID that an interrupted `backend add` has marked the place with; None if there is none.

    Also that of a backend which is no longer in the configuration, and so comes back as it was.
    """
    with contextlib.suppress(ModelFloatError):
        backend = open_configured(path, new)
        try:
            marker = await read_marker(backend)
        finally:
            await backend.aclose()
        if marker.store == store:
            return marker.backend
    return None


async def _extend(path: str, config: StoreConfig, new: BackendConfig) -> None:
    """Mark the new backend, tell the others' markers about it, then remember it: who dies before
    that finds it told by the others."""
    fresh = open_configured(path, new, create=True)
    others = [(b, open_configured(path, b)) for b in config.backends if b.id != new.id]
    opened = [fresh, *(backend for _, backend in others)]
    try:
        told = await told_by(config, opened[1:])
        new = _as_told(new, told)
        wanted = replace(config, backends=(*config.backends, new))
        await write_marker(fresh, marker_of(wanted, new, opened, told), new=True)
        await put_keyring(path, config, fresh)
        if await trio.to_thread.run_sync(lambda: Reserve(path).wanted):
            await set_aside(fresh)
        probed = await tried(path, new)
        for each, backend in others:
            # A backend that is down now learns of the others with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, marker_of(wanted, each, opened, told), new=False)
        by_id = {each.id: each for each in (*config.backends, probed)}
        order = told.sorted(by_id)
        write_config(path, replace(config, backends=tuple(by_id[id_] for id_ in order)))
    finally:
        await close_all(opened)


def _as_told(new: BackendConfig, told: Agreement) -> BackendConfig:
    """A backend that is to be added with what other folders say of it where they use it already.

    ExistsError where they call it otherwise, or another one so.
    """
    for entry in told.lacking:
        if entry.id == new.id and entry.name != new.name:
            raise ExistsError(
                f"what is there is the backend {entry.name} of this store, which another folder "
                "added; give it that name"
            )
        if entry.name == new.name and entry.id != new.id:
            raise ExistsError(
                f"another folder added a backend {new.name} to the store, at {redact(entry.url)}; "
                "choose another name"
            )
        if entry.id == new.id:
            return replace(
                new,
                domain=new.domain or entry.domain,
                weight=entry.weight if new.weight == 1 else new.weight,
                capacity=new.capacity or entry.capacity,
            )
    return new


def refuse_fleeting(url: str) -> None:
    """UsageError for a place that keeps nothing."""
    if url.startswith("memory:"):
        raise UsageError(f"{url} keeps nothing when the command ends; use a directory")
