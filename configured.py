"""Backends as a store's configuration has them: opened, tried, made members.

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
from .backends.conditional import keeps_conditions
from .backends.rates.keeper import SharedKeeper
from .backends.registry import is_local_path, is_probed, open_backend
from .cas import storeowner
from .cas.encryption.copies import FILE, local_copy, put_copy, sound_record
from .cas.packs.health import State
from .cas.packs.members import Member
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
