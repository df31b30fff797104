"""Markers written: each tells of every backend of the store, also of those that others added.

Who changes the list writes all markers. Another folder may have changed it before, and its markers
tell of that; so they are read first, and what this folder does not know of stays in the list.
"""

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import trio

from .backends.agreement import Agreement, agree
from .backends.base import Backend
from .backends.keys import MARKER_KEY
from .backends.marker import ENCRYPTED, Marker, MarkerBackend, read_marker, write_marker
from .backends.marker import encode as encode_marker
from .backends.registry import is_local_path
from .cas.packs.members import Member
from .config import config_path, read_config, write_config
from .configtoml import check_backends
from .configured import close_all, member_of, open_configured, put_keyring
from .errors import BackendError, FormatError, ModelFloatError, NotFoundError
from .ids import BackendId
from .storeconfig import BackendConfig, StoreConfig

DEADLINE: Final = 5.0
"""Seconds that a backend has to show its marker before another one is written."""
DRAINING: Final = "draining"
"""The state of a backend that is leaving, in the configuration of who has its shards moved."""
_ALONE: Final = Agreement()


def marker_of(
    config: StoreConfig,
    own: BackendConfig,
    opened: Sequence[Backend],
    told: Agreement = _ALONE,
) -> Marker:
    """The marker of `own`: it names all backends, of which `opened` are opened, and what others
    `told` of more; but one that is leaving does not name itself."""
    by_name = {backend.name: backend.properties for backend in opened}
    entries = {entry.id: entry for entry in told.lacking}
    for b in config.backends:
        domain = b.domain or by_name[b.name].domain
        entries[b.id] = MarkerBackend(b.id, b.name, b.url, domain, b.weight, b.capacity)
    for id_ in told.unlisted:
        entries.pop(id_, None)
    if own.state == DRAINING or own.id in told.leaving:
        entries.pop(own.id, None)
    return Marker(
        config.id,
        own.id,
        own.name,
        config.scheme,
        tuple(entries[id_] for id_ in told.sorted(entries)),
        incompat=ENCRYPTED if config.encrypted else 0,
    )


async def told_by(config: StoreConfig, opened: Sequence[Backend]) -> Agreement:
    """What the markers of the backends of `config`, opened in its order, say of the list."""
    markers: dict[BackendId, Marker] = {}

    async def ask(id_: BackendId, backend: Backend) -> None:
        with trio.move_on_after(DEADLINE), contextlib.suppress(BackendError, FormatError):
            marker = await read_marker(backend)
            if (marker.store, marker.backend) == (config.id, id_):
                markers[id_] = marker

    async with trio.open_nursery() as nursery:
        for each, backend in zip(config.backends, opened, strict=True):
            nursery.start_soon(ask, each.id, backend)
    return agree([each.id for each in config.backends], markers)


async def announce(
    path: str,
    config: StoreConfig,
    *,
    gone: BackendConfig | None = None,
    back: Collection[BackendId] = (),
) -> None:
    """Tell every backend's marker, then write the configuration of the store in `path`: who dies in
    between finds it told by the others.

    `gone` is one that was taken off the list; those in `back` are listed whatever others say.
    """
    check_backends(config.backends, config_path(path))
    more = () if gone is None else (gone,)
    every = replace(config, backends=(*config.backends, *more))
    opened = [open_configured(path, each) for each in every.backends]
    try:
        kept = config.backends
        told = await told_by(config, opened[: len(kept)])
        told = replace(
            told,
            lacking=tuple(entry for entry in told.lacking if entry.id not in {b.id for b in more}),
            unlisted=told.unlisted.difference(back),
            leaving=told.leaving.difference(back),
        )
        for each, backend in zip(every.backends, opened, strict=True):
            # One that is down now hears of it with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, marker_of(config, each, opened, told), new=False)
        await trio.to_thread.run_sync(write_config, path, config)
    finally:
        await close_all(opened)


async def recreate(path: str, lost: Member) -> Member | None:
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
        open_configured(path, replace(b, url=f"{b.url}.new") if b is own else b, create=b is own)
        for b in config.backends
    ]
    try:
        fresh = backends[config.backends.index(own)]
        told = await told_by(config, backends)
        await write_marker(fresh, marker_of(config, own, backends, told), new=True)
        await put_keyring(path, config, fresh)
    finally:
        await close_all(backends)
    await made.rename(folder)
    return member_of(path, own)


async def remark(path: str, member: Member) -> None:
    """Write the marker of a backend anew that was found to be this store's."""
    config = await trio.to_thread.run_sync(read_config, path)
    own = next((backend for backend in config.backends if backend.id == member.id), None)
    if own is None:
        raise NotFoundError(
            f"{path}/config.toml no longer names the backend {member.name}; run the command again"
        )
    backends = [open_configured(path, backend) for backend in config.backends]
    try:
        here = backends[config.backends.index(own)]
        marker = marker_of(config, own, backends, await told_by(config, backends))
        await here.put(MARKER_KEY, [encode_marker(marker)])
    finally:
        await close_all(backends)
