"""Stores made: every backend is marked before the configuration names it."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import trio

from .backendchanges import refuse_fleeting
from .backends.base import Backend
from .backends.keys import MARKER_KEY, RESERVE_KEY, keyring_key
from .backends.marker import write_marker
from .cas.ballast import set_aside
from .cas.encryption.copies import put_copy, remove_local_copy, write_local_copy
from .cas.encryption.founding import Encryption
from .cas.index.index import Index
from .cas.packs.placement import Candidate
from .cas.packs.survival import describe
from .cas.reserve import SIZE, Reserve
from .config import OWN_FOLDER, config_path, what_remains, write_config
from .configured import close_all, open_configured, tried
from .erasure.scheme import Scheme
from .errors import ExistsError, ModelFloatError
from .ids import StoreId, random_backend_id, random_store_id
from .marking import marker_of
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
        refuse_fleeting(spec.url)
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
        config, candidates = await _mark_all(path, config, keyring, reserve > 0)
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
    path: str, config: StoreConfig, keyring: bytes | None, reserve: bool
) -> tuple[StoreConfig, list[Candidate]]:
    """Make, mark and probe all backends of a new store, and put its keyring there, and a `reserve`
    if one is kept; on failure no mark of it stays behind."""
    marked: list[Backend] = []
    opened: list[Backend] = []
    try:
        opened += (open_configured(path, each, create=True) for each in config.backends)
        for each, backend in zip(config.backends, opened, strict=True):
            await write_marker(backend, marker_of(config, each, opened), new=True)
            marked.append(backend)
            if keyring is not None:
                await put_copy(backend, 1, keyring)
            if reserve:
                await set_aside(backend)
        probed = [await tried(path, each) for each in config.backends]
    except BaseException:
        with trio.move_on_after(10, shield=True):
            for backend in marked:
                with contextlib.suppress(ModelFloatError):
                    await backend.delete(keyring_key(1))
                    await backend.delete(RESERVE_KEY)
                    await backend.delete(MARKER_KEY)
        raise
    finally:
        await close_all(opened)
    candidates = [
        Candidate(each.id, backend.properties.domain, each.weight)
        for each, backend in zip(config.backends, opened, strict=True)
    ]
    return replace(config, backends=tuple(probed)), candidates


def _own_directories(scheme: Scheme | None) -> list[BackendSpec]:
    count = 1 if scheme is None else scheme.n
    return [BackendSpec(f"d{i}", f"{OWN_FOLDER}/d{i}") for i in range(count)]


def make_folders(path: str) -> None:
    """The folders of a store in `path`; blocks."""
    for folder in ("", OWN_FOLDER, "locks", "log", "run"):
        os.makedirs(os.path.join(path, folder), mode=0o700, exist_ok=True)
