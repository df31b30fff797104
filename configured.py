"""Backends as a store's configuration has them: opened, made members, marked.

The engine never names a concrete backend; this module opens them through the registry. A path in
the configuration that is relative is relative to the store's folder.
"""

import contextlib
import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import trio
from blake3 import blake3

from .backends.base import Backend
from .backends.keys import MARKER_KEY
from .backends.marker import ENCRYPTED, Marker, MarkerBackend, write_marker
from .backends.marker import encode as encode_marker
from .backends.rates.keeper import SharedKeeper
from .backends.registry import is_local_path, is_probed, open_backend
from .cas import storeowner
from .cas.encryption.copies import FILE, local_copy, put_copy, sound_record
from .cas.packs.health import State
from .cas.packs.members import Member
from .config import read_config, write_config
from .errors import ModelFloatError, NotFoundError
from .ids import BackendId
from .storeconfig import BackendConfig, StoreConfig

ACCOUNTS: Final = "accounts"


def open_configured(path: str, backend: BackendConfig, *, create: bool = False) -> Backend:
    """One backend, opened; not asked anything yet."""
    url = backend.url
    if is_local_path(url):
        url = os.path.join(path, url)
    return open_backend(
        backend.name,
        url,
        domain=backend.domain,
        create=create,
        conditional_put=backend.conditional_put,
        state=accounts_of(path),
        rate=backend.rate,
        keeper=functools.partial(_keeper, path, backend.id),
    )


def _keeper(path: str, own: BackendId, account: str) -> SharedKeeper:
    """What the processes of the store in `path` know together of an account, or of a backend."""
    name = blake3(account.encode() if account else own).hexdigest(16)
    give = functools.partial(storeowner.give, store=path)
    folder = os.path.join(path, "run")
    with contextlib.suppress(OSError):  # then each process counts by itself, and says so
        # It is missing where the configuration was written anew.
        os.close(storeowner.make_folder(folder, path))
    return SharedKeeper(os.path.join(folder, f"rate-{name}"), give)


def accounts_of(path: str) -> str:
    """The folder of a store in which backends keep who is logged in; only its owner may see it."""
    return os.path.join(path, ACCOUNTS)


def members_of(path: str, config: StoreConfig) -> list[Member]:
    """The backends of a store, opened and not yet looked at; the caller closes them."""
    return [member_of(path, backend) for backend in config.backends]


def member_of(path: str, config: BackendConfig) -> Member:
    """One backend as a member, opened; the caller closes it."""
    backend = open_configured(path, config)
    properties = backend.properties
    # What can only be read is no place for shards from the first one on.
    usual = State.READ_ONLY if properties.read_only else None
    decided = usual if config.state is None else State(config.state)
    return Member(
        config.id,
        config.name,
        backend,
        properties.domain,
        config.weight,
        decided,
        capacity=config.capacity,
        untried=is_probed(config.url) and config.conditional_put is None,
    )


def marker_of(config: StoreConfig, own: BackendConfig, opened: Sequence[Backend]) -> Marker:
    """The marker of `own`: it names all backends, of which `opened` are opened."""
    by_name = {backend.name: backend.properties for backend in opened}
    return Marker(
        config.id,
        own.id,
        own.name,
        config.scheme,
        tuple(
            MarkerBackend(
                b.id, b.name, b.url, b.domain or by_name[b.name].domain, b.weight, b.capacity
            )
            for b in config.backends
        ),
        incompat=ENCRYPTED if config.encrypted else 0,
    )


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
        await write_marker(fresh, marker_of(config, own, backends), new=True)
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
        await here.put(MARKER_KEY, [encode_marker(marker_of(config, own, backends))])
    finally:
        await close_all(backends)


async def announce(path: str, config: StoreConfig) -> None:
    """Write the configuration of the store in `path`, then tell every backend's marker."""
    await trio.to_thread.run_sync(write_config, path, config)
    opened = [open_configured(path, each) for each in config.backends]
    try:
        for each, backend in zip(config.backends, opened, strict=True):
            # One that is down now hears of it with the next change.
            with contextlib.suppress(ModelFloatError):
                await write_marker(backend, marker_of(config, each, opened), new=False)
    finally:
        await close_all(opened)


async def put_keyring(path: str, config: StoreConfig, backend: Backend) -> None:
    """Give a new backend of an encrypted store the keyring that the store's folder has; where that
    has none `verify --repair` does it."""
    data = await trio.to_thread.run_sync(local_copy, path) if config.encrypted else None
    record = None if data is None else sound_record(data, config.id, f"{path}/{FILE}")
    if data is not None and record is not None:
        await put_copy(backend, record.number, data)


async def close_all(backends: Sequence[Backend]) -> None:
    """Close backends that were opened here."""
    for backend in backends:
        await backend.aclose()
