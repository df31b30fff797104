"""Opening encrypted stores: from what the user gave to the keys.

The copy of the keyring in the store's folder is tried first; only where that does not do are the
backends asked, as after a change on another machine, or on a new one.
"""

import logging
import os
from typing import Final

import trio

from .cas.encryption.copies import (
    FILE,
    Found,
    find_copies,
    local_copy,
    sound_record,
    write_local_copy,
)
from .cas.encryption.keyring import unlock
from .cas.encryption.keys import StoreKeys
from .cas.encryption.secrets import Secret
from .cas.formats.keyring import KeyringRecord, encode_keyring
from .configured import close_all, open_configured
from .errors import UnavailableError, UsageError, WrongKeyError
from .storeconfig import StoreConfig

PATIENCE: Final = 5.0
"""Seconds for which backends are waited for that may know of a later keyring than others have."""

log = logging.getLogger(__name__)


async def unlock_keys(path: str, config: StoreConfig, secret: Secret | None) -> StoreKeys | None:
    """The keys of the store in the folder `path`; None of one in the clear, and without `secret`.

    Errors as from `unlock_store`.
    """
    if secret is None or not config.encrypted:
        return None
    return StoreKeys.from_master(await unlock_store(path, config, secret))


async def unlock_store(path: str, config: StoreConfig, secret: Secret) -> bytes:
    """The master key of the encrypted store in the folder `path`.

    WrongKeyError where `secret` does not open it; UnavailableError where no copy of its keyring
    can be read.
    """
    _check_sheet(config, secret)
    local = await trio.to_thread.run_sync(local_record, path, config)
    if local is not None:
        try:
            return (await trio.to_thread.run_sync(unlock, [local], secret)).master
        except WrongKeyError:
            pass  # it may have been changed elsewhere
    found = await _ask_backends(path, config)
    records = found.records(above=0 if local is None else local.number)
    if local is None and not records:
        return _without_keyring(secret, found)
    try:
        opened = await trio.to_thread.run_sync(unlock, records, secret)
    except WrongKeyError as error:
        raise _perhaps_elsewhere(error, found) from None
    await trio.to_thread.run_sync(_keep, path, encode_keyring(opened.record))
    return opened.master


def local_record(path: str, config: StoreConfig) -> KeyringRecord | None:
    """The keyring in the store's folder, None where none is that can be used; blocks."""
    data = local_copy(path)
    return None if data is None else sound_record(data, config.id, os.path.join(path, FILE))


def require_encrypted(path: str, config: StoreConfig) -> StoreConfig:
    """`config` if the store in the folder `path` is encrypted, else UsageError."""
    if not config.encrypted:
        raise UsageError(
            f"the store {path} is not encrypted and has no keys; `modelfloat init --encrypt` makes "
            "one that is"
        )
    return config


def _check_sheet(config: StoreConfig, secret: Secret) -> None:
    if secret.store is not None and secret.store != config.id:
        raise WrongKeyError(
            f"{secret.source} is of the store {secret.store.hex()}, and this one is "
            f"{config.id.hex()}; take the sheet of this one"
        )


def _keep(path: str, data: bytes) -> None:
    """Have the next command find it in the store's folder, where this user may write."""
    try:
        write_local_copy(path, data)
    except OSError as error:
        log.info("%s cannot be written: %s", os.path.join(path, FILE), error.strerror)


async def _ask_backends(path: str, config: StoreConfig) -> Found:
    backends = [open_configured(path, each) for each in config.backends]
    try:
        return await find_copies(backends, config.id, PATIENCE)
    finally:
        with trio.CancelScope(shield=True):
            await close_all(backends)


def _without_keyring(secret: Secret, found: Found) -> bytes:
    """No copy of any keyring is at hand: only the key itself, from a recovery sheet, opens."""
    if secret.kind is None:
        log.warning("no keyring of this store is left; `modelfloat key add` makes a new one")
        return secret.data
    if found.failed:
        name, error = next(iter(found.failed.items()))
        raise UnavailableError(
            f"no copy of the store's keyring can be read ({error}): bring {name} back, or give "
            "the recovery sheet with --key-file"
        )
    raise UnavailableError(
        "no backend has a keyring of this store: only its recovery sheet opens it; give that with "
        "--key-file"
    )


def _perhaps_elsewhere(error: WrongKeyError, found: Found) -> WrongKeyError:
    if not found.failed:
        return error
    names = ", ".join(sorted(found.failed))
    return WrongKeyError(f"{error}; {names}, which may know of later keys, cannot be read")
