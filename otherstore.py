"""The other end of a push or a pull: another store's folder, or a directory that is carried about.

Such a directory is the only backend of a store of its own (`docs/format.md`), and has nothing
besides: no index, no configuration. These lie in the folder of the store that it is used from,
`exchange/<store id>`; they may be deleted at any time and are made anew from the directory.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import trio

from .backends.keys import MARKER_KEY, parse_journal_key
from .backends.local import LocalBackend
from .backends.marker import ENCRYPTED, LARGEST, Marker, decode, read_marker
from .cas.encryption.secrets import Secret
from .cas.index.index import Index
from .cas.locks import locked
from .cas.signing.signer import GetSigner
from .cas.store import Store
from .config import config_path, read_config, write_config
from .creating import BackendSpec, create_store
from .erasure.scheme import Scheme
from .errors import (
    BackendError,
    IndexDamagedError,
    KeyNeededError,
    ModelFloatError,
    NotFoundError,
    UsageError,
    one_failure,
)
from .ids import WriterId
from .opening import open_store, rebuild_store
from .storeconfig import BackendConfig, StoreConfig

FOLDER: Final = "exchange"
NAME: Final = "directory"
"""What its backend is called."""
_NEW: Final = "new-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Other:
    """Where the other end is; `secret` opens it if it is encrypted.

    `own` is the folder of the store that it is used from. With `make` a directory that is empty or
    missing becomes one to carry about, of the scheme `erasure`; with `dry_run` it does not.
    `signing` gets what changes of its refs are signed by: a signature is of one store, and does not
    come along.
    """

    where: str
    own: str
    secret: Secret | None = None
    make: bool = False
    erasure: Scheme | None = None
    dry_run: bool = False
    wait: bool = True
    signing: GetSigner | None = None


@contextlib.asynccontextmanager
async def open_other(other: Other) -> AsyncIterator[Store]:
    """Open the other end; NotFoundError or UsageError where it is none, or is not as `other` says,
    KeyNeededError where it is encrypted and nothing was given that opens it."""
    where = str(await trio.Path(other.where).resolve())
    await trio.to_thread.run_sync(_refuse_secret, where, other)
    if await trio.Path(config_path(where)).exists():
        async with _opened(where, other) as store:
            _refuse_scheme(store, where, other)
            yield store
        return
    if await _marker(where) is None:
        await trio.to_thread.run_sync(_refuse_unmade, where, other)
        if other.dry_run:
            async with _nothing(other) as store:
                yield store
            return
    folder = await _prepared(where, other)
    async with _opened(folder, other) as store:
        _refuse_scheme(store, where, other)
        yield store


def _opened(folder: str, other: Other) -> contextlib.AbstractAsyncContextManager[Store]:
    return open_store(folder, wait=other.wait, secret=other.secret, signing=other.signing)


def _refuse_secret(where: str, other: Other) -> None:
    """Refuse a secret that opens nothing: who gives one takes what he sends for encrypted."""
    encrypted = is_encrypted(where)
    if encrypted and other.secret is None:
        raise KeyNeededError(
            f"{where} is encrypted and its key was not given: name a file that opens it with "
            "--their-key-file or --their-passphrase-file"
        )
    if encrypted is False and other.secret is not None:
        raise UsageError(
            f"{where} is not encrypted, nor is a directory that push makes: leave --their-key-file "
            "and --their-passphrase-file out"
        )


def _refuse_scheme(store: Store, where: str, other: Other) -> None:
    if other.erasure not in (None, store.scheme):
        raise UsageError(
            f"{where} is there already, as {store.scheme}: --erasure is for a directory that is "
            "made; leave it out"
        )


async def _marker(where: str) -> Marker | None:
    """The marker of a directory that is carried about; None where there is none."""
    if not await trio.Path(where, MARKER_KEY).exists():
        return None
    backend = LocalBackend(NAME, where)
    try:
        return await read_marker(backend)
    finally:
        await backend.aclose()


def _refuse_unmade(where: str, other: Other) -> None:
    try:
        empty = not os.listdir(where)
    except FileNotFoundError:
        empty = True
    except NotADirectoryError:
        raise UsageError(
            f"{where} is a file: name a store's folder, or a directory to carry about"
        ) from None
    if not empty:
        raise UsageError(
            f"{where} is neither a store's folder nor one that push has made, and not empty; name "
            "another folder"
        )
    if not other.make:
        raise NotFoundError(f"there is nothing at {where}: `modelfloat push` puts something there")


@contextlib.asynccontextmanager
async def _nothing(other: Other) -> AsyncIterator[Store]:
    """A store with nothing in it, for looking what would be sent to one that is not there yet."""
    with tempfile.TemporaryDirectory(prefix="modelfloat-") as folder:
        path = os.path.join(folder, "store")
        await create_store(path, other.erasure, [], reserve=0)
        async with open_store(path) as store:
            yield store


async def _prepared(where: str, other: Other) -> str:
    """The folder with index and configuration of a directory, as it is now."""
    exchange = os.path.join(other.own, FOLDER)
    await trio.Path(other.own, "locks").mkdir(exist_ok=True)
    lock = os.path.join(other.own, "locks", FOLDER)
    async with locked(lock, wait=other.wait, what=f"gets {where} ready"):
        await trio.to_thread.run_sync(_sweep, exchange)
        marker = await _marker(where)
        if marker is None:
            return await _made(where, exchange, other)
        _refuse_foreign(where, marker, other.own)
        folder = os.path.join(exchange, marker.store.hex())
        await trio.to_thread.run_sync(_configure, folder, where, marker)
        if not await _take_over(folder, where, other):
            await _anew(folder, where, marker, other)
        return folder


def _sweep(exchange: str) -> None:
    """Remove what an interrupted push has left of a directory that was being made."""
    os.makedirs(exchange, mode=0o700, exist_ok=True)
    for name in os.listdir(exchange):
        if name.startswith(_NEW):
            shutil.rmtree(os.path.join(exchange, name), ignore_errors=True)


async def _made(where: str, exchange: str, other: Other) -> str:
    folder = await trio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix=_NEW, dir=exchange))
    made = await create_store(folder, other.erasure, [BackendSpec(NAME, where)], reserve=0)
    target = os.path.join(exchange, made.id.hex())
    await trio.Path(folder).rename(target)
    return target


def _refuse_foreign(where: str, marker: Marker, own: str) -> None:
    if marker.store == read_config(own).id:
        raise UsageError(f"{where} is a backend of this very store; name another folder")
    if len(marker.backends) != 1:
        raise UsageError(
            f"{where} is one of {len(marker.backends)} backends of a store: name that store's "
            "folder"
        )


def _configure(folder: str, where: str, marker: Marker, state: str | None = None) -> None:
    """Say where the directory lies now: it may have come by another way."""
    backend = BackendConfig(marker.name, where, marker.backend, state=state)
    encrypted = bool(marker.incompat & ENCRYPTED)
    config = StoreConfig(marker.store, marker.erasure, (backend,), encrypted=encrypted)
    with contextlib.suppress(ModelFloatError):
        known = read_config(folder)
        if known.backends == config.backends:
            return
        config = replace(known, backends=(backend,))
    os.makedirs(os.path.join(folder, "locks"), mode=0o700, exist_ok=True)
    write_config(folder, config)


async def _take_over(folder: str, where: str, other: Other) -> bool:
    """Bring the index up to date with what others have written to the directory; False where it has
    to be made anew: there is none, or the directory has gone back to what it was before."""
    if not await trio.Path(folder, "index", "data.mdb").exists():
        return False
    try:
        listed = await _listed(where)
        index = os.path.join(folder, "index")
        known, lacking = await trio.to_thread.run_sync(_compare, index, listed)
        if not known:
            # What is gone may be in a segment that others have made of it since.
            await _apply(folder, other)
            known, lacking = await trio.to_thread.run_sync(_compare, index, listed)
        if lacking:
            log.info("%s is of an earlier state than when it was last used", where)
        return known and not lacking
    except (BackendError, IndexDamagedError) as error:
        log.info("the index of %s is made anew: %s", where, error)
        return False


async def _apply(folder: str, other: Other) -> None:
    with one_failure():
        async with open_store(folder, wait=other.wait, secret=other.secret) as store:
            store.members.cipher.require()
            async with store.access.writing("modelfloat pull", told=False) as journal:
                await journal.take_over()


async def _listed(where: str) -> dict[WriterId, int]:
    """The last number of each writer that has a record in the directory."""
    found: dict[WriterId, int] = {}
    backend = LocalBackend(NAME, where)
    async with aclosing(backend.list("journal/")) as listing:
        async for each in listing:
            if (parsed := parse_journal_key(each.key)) is not None:
                writer, seq, _ = parsed
                found[writer] = max(seq, found.get(writer, 0))
    await backend.aclose()
    return found


def _compare(path: str, listed: Mapping[WriterId, int]) -> tuple[bool, bool]:
    """Whether an index knows all records that the directory has, and whether that lacks one which
    the index knows and no segment stands for."""
    with contextlib.closing(Index.open(path)) as index:
        last = {writer: index.writer(writer)[0] for writer in index.writers()}
        behind = [writer for writer, seq in last.items() if listed.get(writer, 0) < seq]
        lacking = not all(index.is_made_good(writer, last[writer]) for writer in behind)
    return all(last.get(writer, 0) >= seq for writer, seq in listed.items()), lacking


async def _anew(folder: str, where: str, marker: Marker, other: Other) -> None:
    await trio.to_thread.run_sync(_put_away, folder)
    # Who only reads it leaves it as it is: it may be a medium that cannot be written.
    await trio.to_thread.run_sync(_configure, folder, where, marker, "read-only")
    await rebuild_store(folder, wait=other.wait, secret=other.secret)
    await trio.to_thread.run_sync(_configure, folder, where, marker)


def _put_away(folder: str) -> None:
    """Take the folder's name from it: who has it open goes on with it, as another site."""
    away = tempfile.mkdtemp(prefix=_NEW, dir=os.path.dirname(folder))
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, os.path.join(away, "was"))
    shutil.rmtree(away, ignore_errors=True)


def is_encrypted(where: str) -> bool | None:
    """Whether the other end is encrypted, which what is still to be made is not; None where that
    cannot be told, as opening it tells."""
    try:
        if os.path.exists(config_path(where)):
            return read_config(where).encrypted
        with open(os.path.join(where, MARKER_KEY), "rb") as file:
            return bool(decode(file.read(LARGEST + 1), NAME).incompat & ENCRYPTED)
    except FileNotFoundError:
        return False
    except (ModelFloatError, OSError):
        return None
