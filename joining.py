"""Joining a store that is there: on another machine, or again where its folder is lost.

All that is needed lies on the backends. The configuration comes from their markers, the keyring of
an encrypted store from any of them, the index from the journals; the configuration is written last,
so what was interrupted left no store, and is done again.
"""

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import trio

from .backends.registry import is_local_path
from .cas.encryption.secrets import Secret
from .cas.encryption.storecipher import cipher_of
from .cas.index.index import Index
from .cas.progress import Progress
from .cas.reserve import SIZE, Reserve
from .config import config_path, what_remains, write_config
from .configured import tried
from .creating import make_folders
from .erasure.scheme import Scheme
from .errors import BackendError, ExistsError, ModelFloatError, UsageError
from .finding import FoundStore, Told
from .ids import StoreId
from .opening import make_index, open_store
from .storeconfig import StoreConfig
from .unlocking import unlock_keys

if TYPE_CHECKING:
    from .cas.rebuild.report import RebuildReport

_OWN: Final = frozenset(
    (
        *("backends", "cache", "config", "counterparts", "exchange", "index", "keyring", "locks"),
        *("log", "lost+found", "reserve", "run", "seen-refs", "site"),
    )
)
"""What is in a store's folder, each also with something behind a dot while it is being made; and
what file systems put into their first folder."""


@dataclass(frozen=True, slots=True)
class JoinReport:
    """A site that was made of a store. `down` are backends that could not be asked, by name with
    the reason; `told` are those whose place a marker told and nobody gave, by name; `index` is what
    was found of the journals and packs, `reserve` in bytes."""

    path: str
    id: StoreId
    scheme: Scheme
    backends: tuple[str, ...]
    down: dict[str, str]
    told: dict[str, Told]
    survives: str
    encrypted: bool
    index: "RebuildReport"
    reserve: int


async def join_store(
    path: str,
    found: FoundStore,
    *,
    secret: Secret | None = None,
    reserve: int = SIZE,
    wait: bool = True,
    progress: Progress | None = None,
) -> JoinReport:
    """Make the folder `path` a site of the store that was found; ExistsError where one is there.

    `secret` opens an encrypted one, KeyNeededError without it. UnavailableError where so many
    backends are down that the index cannot be made; UsageError where it is not known where one is.
    """
    path = str(await trio.Path(path).resolve())
    await trio.to_thread.run_sync(check_joinable, path, found.config.id)
    await trio.to_thread.run_sync(_refuse_others, path, found.config)
    _refuse_unknown(found)
    await trio.to_thread.run_sync(make_folders, path)
    config = await _tried(path, found)
    keys = await unlock_keys(path, config, secret)
    cipher_of(keys, encrypted=config.encrypted).require()
    made = await make_index(path, config, progress or Progress(), keys, wait=wait)
    kept = Reserve(path)
    await trio.to_thread.run_sync(kept.make, reserve)
    await trio.to_thread.run_sync(write_config, path, config)
    async with open_store(path, wait=wait, keys=keys) as store:
        await store.access.sharing.announce()
        survives = await store.survives()
    return JoinReport(
        path,
        config.id,
        Scheme.parse(config.scheme),
        tuple(each.name for each in config.backends),
        found.down,
        found.told,
        survives,
        config.encrypted,
        made,
        kept.size,
    )


def check_joinable(path: str, store: StoreId | None = None) -> None:
    """ExistsError where a store is in the folder `path`, or what is left of another one; blocks."""
    if os.path.exists(config_path(path)):
        raise ExistsError(f"{path} is a store already; use another folder or work with that one")
    try:
        with closing(Index.open(os.path.join(path, "index"))) as index:
            other = store is not None and index.store != store
    except ModelFloatError:
        return  # there is none, or none that could be used
    if other:
        raise ExistsError(f"{path}/index belongs to another store; join in another folder")


def _refuse_others(path: str, config: StoreConfig) -> None:
    """ExistsError where something else is in a folder that was no store's; blocks.

    What an interrupted join has left is no such thing, nor is a backend that lies in it.
    """
    if what_remains(path):
        return
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return
    places = [os.path.join(path, b.url, "") for b in config.backends if is_local_path(b.url)]
    for name in names:
        inner = os.path.join(path, name, "")
        if name.partition(".")[0] not in _OWN and not any(p.startswith(inner) for p in places):
            raise ExistsError(
                f"{path} has {name} in it, which is not a store's; name a folder that is empty, or "
                "not there yet"
            )


def _refuse_unknown(found: FoundStore) -> None:
    if found.unknown:
        names = ", ".join(f"{name} ({url})" for name, url in found.unknown.items())
        raise UsageError(
            f"where is {names}? What the markers say means nothing here: give --backend NAME=URL "
            "for each; for one that is gone, where it was"
        )


async def _tried(path: str, found: FoundStore) -> StoreConfig:
    """The configuration, with what a probe finds of those backends that can be asked."""
    backends = []
    for each in found.config.backends:
        try:
            backends.append(each if each.name in found.down else await tried(path, each))
        except BackendError:
            # It may be read only from here; who decides conditional puts is then still to be tried.
            backends.append(each)
    return replace(found.config, backends=tuple(backends))
