"""Who may open an encrypted store, changed: passphrases and key files come and go.

A change is made alone with the store, as what deletes is: two at once would be one lost. It needs
the key, so nobody changes anything who could not read everything anyway.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from .cas.encryption.copies import find_copies, put_copies, write_local_copy
from .cas.encryption.keyring import Entry, Keyring, check_label, new_entry, open_keyring
from .cas.encryption.keys import StoreKeys
from .cas.encryption.secrets import Secret
from .cas.encryption.sheetfile import write_sheet
from .cas.encryption.storecipher import LOCKED
from .cas.formats.keyring import Cost
from .cas.locks import locked
from .cas.packs.members import Members
from .cas.sharing import undisturbed
from .config import read_config
from .configured import members_of
from .errors import ModelFloatError, UnavailableError, UsageError, one_failure
from .sharedlist import SharedList
from .storeconfig import StoreConfig
from .unlocking import local_record, require_encrypted, unlock_store

WHAT: Final = "modelfloat key"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What came of a change: the entry in question, and the backends that have the keyring of
    before, by name, since they could not be written to."""

    entry: Entry
    without: tuple[str, ...]


async def list_keys(path: str, secret: Secret) -> tuple[Entry, ...]:
    """What opens the store in the folder `path`, the oldest first."""
    config = await _encrypted(path)
    master = await unlock_store(path, config, secret)
    members = await _members(path, config)
    try:
        await members.look()
        return (await _newest(path, config, members, master)).entries
    finally:
        with trio.CancelScope(shield=True):
            await members.aclose()


async def add_key(
    path: str,
    secret: Secret,
    new: Secret,
    *,
    label: str = "",
    cost: Cost | None = None,
    wait: bool = True,
) -> KeyChange:
    """Have `new` open the store too; `secret` is what opens it now."""
    check_label(label)

    def change(keyring: Keyring, master: bytes) -> tuple[Keyring, Entry]:
        entry = new_entry(keyring.store, master, new, label, cost)
        return keyring.adding(entry), entry

    return await _change(path, secret, change, wait=wait)


async def change_key(
    path: str,
    secret: Secret,
    new: Secret,
    name: str | None = None,
    *,
    cost: Cost | None = None,
    wait: bool = True,
) -> KeyChange:
    """Have `new` open the store in place of the key of that name, or else of `secret` itself.

    NotFoundError where there is no such key; UsageError for a recovery sheet without a name.
    """
    if name is None and secret.kind is None:
        raise UsageError(
            f"{secret.source} is no key of the keyring, and cannot be changed; name the key that "
            "is to be"
        )

    def change(keyring: Keyring, master: bytes) -> tuple[Keyring, Entry]:
        old = keyring.opened_by(secret) if name is None else keyring.find(name)
        entry = new_entry(keyring.store, master, new, old.label, cost)
        return keyring.replacing(old, entry), entry

    return await _change(path, secret, change, wait=wait)


async def remove_key(path: str, secret: Secret, name: str, *, wait: bool = True) -> KeyChange:
    """Have the key of that name open the store no more; `secret` is any that opens it.

    NotFoundError where there is none, UsageError where it is the last one.
    """

    def change(keyring: Keyring, _master: bytes) -> tuple[Keyring, Entry]:
        old = keyring.find(name)
        return keyring.without(old), old

    return await _change(path, secret, change, wait=wait)


async def new_sheet(path: str, secret: Secret, sheet: str) -> None:
    """Write the store's recovery sheet to the file `sheet`, which must not be there yet."""
    config = await _encrypted(path)
    master = await unlock_store(path, config, secret)
    await trio.to_thread.run_sync(write_sheet, sheet, config.id, master)


Change = Callable[[Keyring, bytes], tuple[Keyring, Entry]]
"""From the newest keyring and the master key to the next one, and the entry in question."""


async def _change(path: str, secret: Secret, change: Change, *, wait: bool) -> KeyChange:
    config = await _encrypted(path)
    master = await unlock_store(path, config, secret)
    with one_failure():
        async with _alone(path, wait=wait) as (now, members):
            newest = await _newest(path, now, members, master)
            keyring, entry = await trio.to_thread.run_sync(change, newest, master)
            data = await trio.to_thread.run_sync(keyring.sealed, master)
            without = await _spread(members, keyring.number, data)
            await trio.to_thread.run_sync(_write_local, path, data)
    return KeyChange(entry, without)


async def _spread(members: Members, number: int, data: bytes) -> tuple[str, ...]:
    """Put a keyring on every backend; those that do not have it now, by name.

    UnavailableError where none has: what only this machine knows of would be lost with it.
    """
    writable = [member.backend for member in members.writable()]
    failed = await put_copies(writable, number, data)
    if len(failed) == len(writable):
        why = "; ".join(str(error) for error in failed.values()) or "none is up"
        raise UnavailableError(
            f"no backend takes the new keyring ({why}): nothing is changed; see `backend ls`"
        )
    there = {backend.name for backend in writable if backend.name not in failed}
    return tuple(sorted(member.name for member in members if member.name not in there))


async def _newest(path: str, config: StoreConfig, members: Members, master: bytes) -> Keyring:
    """The newest genuine keyring; an empty one before the first where none is left."""
    keys = StoreKeys.from_master(master)
    local = await trio.to_thread.run_sync(local_record, path, config)
    found = await find_copies([member.backend for member in members.up()], config.id)
    records = [*found.records(), *([] if local is None else [local])]
    opened = (open_keyring(record, keys) for record in records)
    genuine = [keyring for keyring in opened if keyring is not None]
    return max(genuine, key=lambda keyring: keyring.number, default=Keyring(config.id, 0, ()))


@asynccontextmanager
async def _alone(path: str, *, wait: bool) -> AsyncIterator[tuple[StoreConfig, Members]]:
    """Be alone with the store, here and among other sites; its configuration and backends."""
    locks = os.path.join(path, "locks")
    async with AsyncExitStack() as stack:
        for name in ("gc", "store"):
            lock = locked(os.path.join(locks, name), wait=wait, what=WHAT)
            await stack.enter_async_context(lock)
        config = await trio.to_thread.run_sync(read_config, path)
        members = await _members(path, config)
        try:
            await members.look()
            await SharedList(path, config, members).follow(config)
            async with undisturbed(members, locks, wait=wait):
                yield config, members
        finally:
            with trio.CancelScope(shield=True):
                await members.aclose()


async def _members(path: str, config: StoreConfig) -> Members:
    """The store's backends, not looked at yet; the caller closes them."""
    opened = await trio.to_thread.run_sync(members_of, path, config)
    return Members(config.id, opened, LOCKED)


async def _encrypted(path: str) -> StoreConfig:
    return require_encrypted(path, await trio.to_thread.run_sync(read_config, path))


def _write_local(path: str, data: bytes) -> None:
    try:
        write_local_copy(path, data)
    except OSError as error:
        raise ModelFloatError(
            f"{path}/keyring cannot be written: {error.strerror}; the backends have the new keys, "
            "make room and run `modelfloat verify --repair`"
        ) from error
