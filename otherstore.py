"""The other end of a push or a pull: another store's folder, or a directory to carry about."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import trio

from .backends.keys import MARKER_KEY
from .backends.marker import ENCRYPTED, LARGEST, decode
from .backends.upload import holds_nothing
from .carried import NAME, Carried
from .cas.encryption.secrets import Secret
from .cas.openoptions import Trusting
from .cas.signing.signer import GetSigner
from .cas.store import Store
from .config import config_path, read_config
from .creating import create_store
from .erasure.scheme import Scheme
from .errors import KeyNeededError, ModelFloatError, NotFoundError, UsageError
from .opening import open_store, require_trusted

SEEN: Final = "seen-elsewhere"
"""The folder, in that of the store which pulls, of what was seen of other stores' refs, by ids."""


@dataclass(frozen=True, slots=True)
class Other:
    """Where the other end is; `secret` opens it if it is encrypted.

    `own` is the folder of the store that it is used from. With `make` a directory that is empty or
    missing becomes one to carry about, of the scheme `erasure`; with `dry_run` it does not.
    `signing` gets what changes of its refs are signed by: a signature is of one store, and does not
    come along. With `require_signature` only refs are there that a key signed which the store at
    `own` trusts; what was seen of them is kept there too.
    """

    where: str
    own: str
    secret: Secret | None = None
    make: bool = False
    erasure: Scheme | None = None
    dry_run: bool = False
    wait: bool = True
    signing: GetSigner | None = None
    require_signature: bool = False


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
    carried = Carried(where, other.own, other.secret, other.erasure, other.wait)
    if await carried.marker() is None:
        await trio.to_thread.run_sync(_refuse_unmade, where, other)
        if other.dry_run:
            async with _nothing(other) as store:
                yield store
            return
    async with _opened(await carried.ready(), other) as store:
        _refuse_scheme(store, where, other)
        yield store


@contextlib.asynccontextmanager
async def _opened(folder: str, other: Other) -> AsyncIterator[Store]:
    trusting = None
    if other.require_signature:
        trusting = await trio.to_thread.run_sync(_trusting, folder, other.own)
    async with open_store(
        folder, wait=other.wait, secret=other.secret, signing=other.signing, trusting=trusting
    ) as store:
        yield store


def _trusting(folder: str, own: str) -> Trusting:
    keys = require_trusted(own, read_config(own))
    return Trusting(keys, os.path.join(own, SEEN, read_config(folder).id.hex()))


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


def _refuse_unmade(where: str, other: Other) -> None:
    try:
        empty = holds_nothing(where)
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
