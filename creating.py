"""Stores made, and backends added to them: each is marked before the configuration names it."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import trio

from .backends.base import Backend
from .backends.conditional import keeps_conditions
from .backends.keys import MARKER_KEY, keyring_key
from .backends.marker import read_marker, write_marker
from .backends.registry import is_probed
from .cas.encryption.copies import put_copy, remove_local_copy, write_local_copy
from .cas.encryption.founding import Encryption
from .cas.index.index import Index
from .cas.locks import locked
from .cas.packs.placement import Candidate
from .cas.packs.survival import describe
from .cas.reserve import SIZE, Reserve
from .config import OWN_FOLDER, config_path, read_config, what_remains, write_config
from .configured import announce, close_all, marker_of, open_configured, put_keyring
from .erasure.scheme import Scheme
from .errors import ExistsError, ModelFloatError, UsageError
from .ids import BackendId, StoreId, random_backend_id, random_store_id
from .opening import open_store
from .storeconfig import BackendConfig, StoreConfig


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend to be: `domain` None means what the backend itself says, `capacity` None that only
    its space limits how many bytes of shards it holds, `rate` None that its provider's is kept."""

    name: str
    url: str
    domain: str | None = None
    weight: float = 1.0
    capacity: int | None = None
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class InitReport:
    """A store that was made. `overhead` is parity bytes a data byte, `reserve` in bytes."""

    path: str
    id: StoreId
    scheme: Scheme
    backends: tuple[str, ...]
    survives: str
    overhead: float
    reserve: int
    encrypted: bool = False


def default_scheme(backends: int) -> Scheme:
    """The scheme of a store with that many backends, where none was asked for."""
    if backends <= 1:
        return Scheme(8, 1)
    if backends <= 3:
        return Scheme(backends - 1, 1)
    if backends <= 5:
        return Scheme(backends - 2, 2)
    return Scheme(4, 2)


async def create_store(
    path: str,
    scheme: Scheme | None,
    backends: Sequence[BackendSpec],
    *,
    reserve: int = SIZE,
    encryption: Encryption | None = None,
) -> InitReport:
    """Make a store in the folder `path`; ExistsError if there is one.

    What one with `encryption` puts on its backends can be read with its key only, which lies in its
    keyring.

    Without backends it gets directories of its own: one, or k+m of them when a scheme is given.
    `reserve` is how many bytes are kept aside for rm and gc on a full disk, if there is room. The
    configuration is written last, so an interrupted init left no store.
    """
    path = str(await trio.Path(path).resolve())
    if await trio.Path(config_path(path)).exists():
        raise ExistsError(f"{path} is a store already; use another folder or work with that one")
    if remains := await trio.to_thread.run_sync(what_remains, path):
        raise ExistsError(
            f"{config_path(path)} is missing, but {remains} is there: restore it, or have "
            "`modelfloat init --join` make it anew from the backends; a new store takes another "
            "folder"
        )
    specs = list(backends) or _own_directories(scheme)
    for spec in specs:
        _refuse_fleeting(spec.url)
    chosen = scheme or default_scheme(len(backends))
    make_folders(path)
    store = random_store_id()
    configs = tuple(
        BackendConfig(
            s.name, s.url, random_backend_id(), s.domain, s.weight, s.capacity, rate=s.rate
        )
        for s in specs
    )
    config = StoreConfig(store, str(chosen), configs, encrypted=encryption is not None)
    async with _founded(path, store, encryption) as keyring:
        config, candidates = await _mark_all(path, config, keyring)
        index = await trio.to_thread.run_sync(Index.create, os.path.join(path, "index"), store)
        index.close()
        kept = Reserve(path)
        await trio.to_thread.run_sync(kept.make, reserve)
        write_config(path, config)
    return InitReport(
        path,
        store,
        chosen,
        tuple(s.name for s in specs),
        describe(chosen, candidates),
        chosen.m / chosen.k,
        kept.size,
        config.encrypted,
    )


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
    _refuse_fleeting(url)
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


@contextlib.asynccontextmanager
async def _founded(
    path: str, store: StoreId, encryption: Encryption | None
) -> AsyncIterator[bytes | None]:
    """The first keyring of a store that is being made, None of one in the clear; on failure
    nothing of it stays behind."""
    if encryption is None:
        yield None
        return
    keyring = await trio.to_thread.run_sync(encryption.begin, store)
    try:
        await trio.to_thread.run_sync(write_local_copy, path, keyring)
        yield keyring
    except BaseException:
        encryption.give_up()
        remove_local_copy(path)
        raise


async def _mark_all(
    path: str, config: StoreConfig, keyring: bytes | None
) -> tuple[StoreConfig, list[Candidate]]:
    """Make, mark and probe all backends of a new store, and put its keyring there; on failure no
    mark of it stays behind."""
    marked: list[Backend] = []
    opened: list[Backend] = []
    try:
        opened += (open_configured(path, each, create=True) for each in config.backends)
        for each, backend in zip(config.backends, opened, strict=True):
            await write_marker(backend, marker_of(config, each, opened), new=True)
            marked.append(backend)
            if keyring is not None:
                await put_copy(backend, 1, keyring)
        probed = [await tried(path, each) for each in config.backends]
    except BaseException:
        with trio.move_on_after(10, shield=True):
            for backend in marked:
                with contextlib.suppress(ModelFloatError):
                    await backend.delete(keyring_key(1))
                    await backend.delete(MARKER_KEY)
        raise
    finally:
        await close_all(opened)
    candidates = [
        Candidate(each.id, backend.properties.domain, each.weight)
        for each, backend in zip(config.backends, opened, strict=True)
    ]
    return replace(config, backends=tuple(probed)), candidates


def _refuse_fleeting(url: str) -> None:
    if url.startswith("memory:"):
        raise UsageError(f"{url} keeps nothing when the command ends; use a directory")


def _own_directories(scheme: Scheme | None) -> list[BackendSpec]:
    count = 1 if scheme is None else scheme.n
    return [BackendSpec(f"d{i}", f"{OWN_FOLDER}/d{i}") for i in range(count)]


def make_folders(path: str) -> None:
    """The folders of a store in `path`; blocks."""
    for folder in ("", OWN_FOLDER, "locks", "log", "run"):
        os.makedirs(os.path.join(path, folder), mode=0o700, exist_ok=True)
