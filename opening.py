"""Opening and making stores: the configuration turned into backends, handed to the engine.

The engine never names a concrete backend; this module opens them through the registry. A path in
the configuration that is relative is relative to the store's folder.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import trio

from .backends.base import Backend
from .backends.keys import MARKER_KEY
from .backends.marker import Marker, MarkerBackend, write_marker
from .backends.marker import encode as encode_marker
from .backends.registry import is_local_path, open_backend
from .cas.index.index import Index
from .cas.locks import locked
from .cas.packs.members import Member, Members
from .cas.packs.placement import Candidate
from .cas.packs.survival import describe
from .cas.rebuild.rebuild import RebuildReport, rebuild_index
from .cas.reports import Progress
from .cas.reserve import SIZE, Reserve
from .cas.store import Store, open_engine
from .config import BackendConfig, Scalar, StoreConfig, config_path, read_config, write_config
from .erasure.scheme import Scheme
from .errors import ExistsError, ModelFloatError, UsageError, one_failure
from .ids import StoreId, random_backend_id, random_store_id

FOLLOW: Final = 5.0
"""Seconds between two looks at the configuration while a store is open."""
OWN_FOLDER: Final = "backends"
"""Where, in the store's folder, `init` puts directories of its own."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend to be: `domain` None means what the backend itself says."""

    name: str
    url: str
    domain: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class InitReport:
    """A store that was made. `overhead` is parity bytes a data byte."""

    path: str
    id: StoreId
    scheme: Scheme
    backends: tuple[str, ...]
    survives: str
    overhead: float


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
    path: str, scheme: Scheme | None, backends: Sequence[BackendSpec], *, reserve: int = SIZE
) -> InitReport:
    """Make a store in the folder `path`; ExistsError if there is one.

    Without backends it gets directories of its own: one, or k+m of them when a scheme is given.
    `reserve` is how many bytes are kept aside for rm and gc on a full disk, if there is room. The
    configuration is written last, so an interrupted init left no store.
    """
    path = str(await trio.Path(path).resolve())
    if await trio.Path(config_path(path)).exists():
        raise ExistsError(f"{path} is a store already; use another folder or work with that one")
    specs = list(backends) or _own_directories(scheme)
    for spec in specs:
        _refuse_fleeting(spec.url)
    chosen = scheme or default_scheme(len(backends))
    _make_folders(path)
    store = random_store_id()
    configs = tuple(
        BackendConfig(s.name, s.url, random_backend_id(), s.domain, s.weight) for s in specs
    )
    config = StoreConfig(store, str(chosen), configs)
    candidates = await _mark_all(path, config)
    index = await trio.to_thread.run_sync(Index.create, os.path.join(path, "index"), store)
    index.close()
    await trio.to_thread.run_sync(Reserve(path).make, reserve)
    write_config(path, config)
    return InitReport(
        path,
        store,
        chosen,
        tuple(s.name for s in specs),
        describe(chosen, candidates),
        chosen.m / chosen.k,
    )


@contextlib.asynccontextmanager
async def open_store(path: str, *, wait: bool = True) -> AsyncIterator[Store]:
    """Open the store in the folder `path`. Backends that are down are no error here.

    Without `wait`, work that meets a lock of another process is LockedError.
    """
    path = str(await trio.Path(path).resolve())
    config = await trio.to_thread.run_sync(read_config, path)
    members = await trio.to_thread.run_sync(members_of, path, config)

    async def recreate(lost: Member) -> Member | None:
        return await _recreate(path, lost)

    async def remark(member: Member) -> None:
        await _remark(path, member)

    scheme = Scheme.parse(config.scheme)
    async with (
        open_engine(
            path, scheme, members, config.id, recreate=recreate, remark=remark, wait=wait
        ) as store,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_follow, path, config, store)
        yield store
        nursery.cancel_scope.cancel()


async def _follow(path: str, config: StoreConfig, store: Store) -> None:
    """Take over backends that other processes add, for as long as a store is open."""
    index = await trio.to_thread.run_sync(_index_file, path)
    while True:
        await trio.sleep(FOLLOW)
        try:
            index = await trio.to_thread.run_sync(_tell_replaced, path, index)
            now = await trio.to_thread.run_sync(read_config, path)
            if now.backends == config.backends:
                continue
            members = await trio.to_thread.run_sync(members_of, path, now)
        except (ModelFloatError, OSError) as error:
            # A configuration being edited must not end what is open: it stays as it was.
            log.warning("%s; what is open goes on without the change", error)
            continue
        config = now
        store.members.adopt(members)
        await store.members.look()


def _index_file(path: str) -> tuple[int, int] | None:
    """Which file the index is, None while there is none."""
    try:
        found = os.stat(os.path.join(path, "index", "data.mdb"))
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _tell_replaced(path: str, opened: tuple[int, int] | None) -> tuple[int, int] | None:
    """Warn once where another file took the place of the index; which one is there now."""
    now = _index_file(path)
    if now is None or now == opened:
        return opened
    if opened is not None:
        log.warning(
            "the index of %s was replaced, and this process serves from the old one: what is "
            "there can be read, what is added from now on is not seen; mount again",
            path,
        )
    return now


async def rebuild_store(
    path: str, *, wait: bool = True, progress: Progress | None = None
) -> RebuildReport:
    """Make the index of the store in `path` anew, from what lies on its backends.

    The old one may be missing, damaged or of an earlier state. Mounts go on with it until they end.
    UnavailableError where more backends are down than that can be done without.
    """
    path = str(await trio.Path(path).resolve())
    config = await trio.to_thread.run_sync(read_config, path)
    members = await trio.to_thread.run_sync(members_of, path, config)
    locks, what = os.path.join(path, "locks"), "modelfloat rebuild-index"
    await trio.Path(locks).mkdir(exist_ok=True)
    found = Members(config.id, members)
    try:
        with one_failure():
            await found.look()
            async with (
                locked(os.path.join(locks, "gc"), wait=wait, what=what),
                locked(os.path.join(locks, "store"), wait=wait, what=what),
            ):
                copies = Scheme.parse(config.scheme).m + 1
                return await rebuild_index(path, config.id, found, copies, progress or Progress())
    finally:
        with trio.CancelScope(shield=True):
            await _close([member.backend for member in members])


async def add_backend(
    path: str, name: str, url: str, domain: str | None = None, weight: float = 1.0
) -> str:
    """Make `url` a backend of the store in `path`; what the store survives now, in a line."""
    _refuse_fleeting(url)
    async with locked(os.path.join(path, "locks", "config"), what="modelfloat backend add"):
        config = await trio.to_thread.run_sync(read_config, path)
        if any(backend.name == name for backend in config.backends):
            raise ExistsError(f"the store has a backend {name} already; choose another name")
        new = BackendConfig(name, url, random_backend_id(), domain, weight)
        await _extend(path, replace(config, backends=(*config.backends, new)), new)
    async with open_store(path) as store:
        return store.survives()


async def change_setting(path: str, key: str, value: Scalar | None, wait: bool = True) -> None:
    """Set `key` in the store's configuration, or with None take it out.

    The caller knows which settings there are. LockedError when another process changes the
    configuration and `wait` is False.
    """
    await trio.to_thread.run_sync(read_config, path)  # where there is no store no lock is made
    async with locked(os.path.join(path, "locks", "config"), wait=wait):
        config = await trio.to_thread.run_sync(read_config, path)
        settings = {k: v for k, v in config.settings.items() if k != key}
        if value is not None:
            settings[key] = value
        changed = replace(config, settings=settings)
        await trio.to_thread.run_sync(write_config, path, changed)


async def _recreate(path: str, lost: Member) -> Member | None:
    """Make a backend anew that is gone: a directory inside the store's own folder.

    Anywhere else a missing directory may be a disk that is not mounted, and counts as down. It
    keeps its UUID, so should the old directory come back, it may take its place again.
    """
    config = await trio.to_thread.run_sync(read_config, path)
    own = next((backend for backend in config.backends if backend.id == lost.id), None)
    if own is None or os.path.isabs(own.url) or not is_local_path(own.url):
        return None
    folder, made = trio.Path(path, own.url), trio.Path(path, f"{own.url}.new")
    if await folder.exists() or await folder.is_symlink():
        return None
    # Marked before it has its name: a crash leaves no directory that counts as an unmounted disk.
    backends = [
        _open(path, replace(b, url=f"{b.url}.new") if b is own else b, create=b is own)
        for b in config.backends
    ]
    try:
        fresh = backends[config.backends.index(own)]
        await write_marker(fresh, _marker(config, own, backends), new=True)
    finally:
        await _close(backends)
    await made.rename(folder)
    return _member(path, own)


async def _remark(path: str, member: Member) -> None:
    """Write the marker of a backend anew that was found to be this store's."""
    config = await trio.to_thread.run_sync(read_config, path)
    own = next((backend for backend in config.backends if backend.id == member.id), None)
    if own is None:
        raise UsageError(f"config.toml names no backend {member.name} any more")
    backends = [_open(path, backend) for backend in config.backends]
    try:
        here = backends[config.backends.index(own)]
        await here.put(MARKER_KEY, [encode_marker(_marker(config, own, backends))])
    finally:
        await _close(backends)


async def _extend(path: str, config: StoreConfig, new: BackendConfig) -> None:
    """Mark the new backend, remember it, then tell the others' markers about it."""
    fresh = _open(path, new, create=True)
    others = [(b, _open(path, b)) for b in config.backends if b.id != new.id]
    opened = [fresh, *(backend for _, backend in others)]
    try:
        await write_marker(fresh, _marker(config, new, opened), new=True)
        write_config(path, config)
        for each, backend in others:
            # A backend that is down now learns of the others with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, _marker(config, each, opened), new=False)
    finally:
        await _close(opened)


async def _mark_all(path: str, config: StoreConfig) -> list[Candidate]:
    """Make and mark all backends of a new store; on failure no mark of it stays behind."""
    marked: list[Backend] = []
    opened: list[Backend] = []
    try:
        opened += (_open(path, each, create=True) for each in config.backends)
        for each, backend in zip(config.backends, opened, strict=True):
            await write_marker(backend, _marker(config, each, opened), new=True)
            marked.append(backend)
    except BaseException:
        with trio.move_on_after(10, shield=True):
            for backend in marked:
                with contextlib.suppress(ModelFloatError):
                    await backend.delete(MARKER_KEY)
        raise
    finally:
        await _close(opened)
    return [
        Candidate(each.id, backend.properties.domain, each.weight)
        for each, backend in zip(config.backends, opened, strict=True)
    ]


def _refuse_fleeting(url: str) -> None:
    if url.startswith("memory:"):
        raise UsageError(f"{url} keeps nothing when the command ends; use a directory")


def _own_directories(scheme: Scheme | None) -> list[BackendSpec]:
    count = 1 if scheme is None else scheme.n
    return [BackendSpec(f"d{i}", f"{OWN_FOLDER}/d{i}") for i in range(count)]


def _make_folders(path: str) -> None:
    for folder in ("", OWN_FOLDER, "locks", "log"):
        os.makedirs(os.path.join(path, folder), mode=0o700, exist_ok=True)


def _open(path: str, backend: BackendConfig, *, create: bool = False) -> Backend:
    url = backend.url
    if is_local_path(url):
        url = os.path.join(path, url)
    return open_backend(backend.name, url, domain=backend.domain, create=create)


def members_of(path: str, config: StoreConfig) -> list[Member]:
    """The backends of a store, opened and not yet looked at; the caller closes them."""
    return [_member(path, backend) for backend in config.backends]


def _member(path: str, config: BackendConfig) -> Member:
    backend = _open(path, config)
    return Member(config.id, config.name, backend, backend.properties.domain, config.weight)


def _marker(config: StoreConfig, own: BackendConfig, opened: Sequence[Backend]) -> Marker:
    by_name = {backend.name: backend.properties for backend in opened}
    return Marker(
        config.id,
        own.id,
        own.name,
        config.scheme,
        tuple(
            MarkerBackend(b.id, b.name, b.url, b.domain or by_name[b.name].domain, b.weight)
            for b in config.backends
        ),
    )


async def _close(backends: Sequence[Backend]) -> None:
    for backend in backends:
        await backend.aclose()
