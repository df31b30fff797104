"""Copies of the keyring: one on every backend, one in the store's folder.

The newest one that the master key opens counts, wherever it lies: backends are not trusted, and one
that was away has an older one. The folder is trusted, so what lies there is tried first, and a
command needs no backend to open the store.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.bounded import listed_below
from ...backends.keys import keyring_key, parse_keyring_key
from ...backends.retry import RetryBackend
from ...durable import replace_file
from ...errors import BackendError, FormatError, KeyNotFoundError, TimedOutError
from ...ids import StoreId
from ..formats.keyring import LONGEST, KeyringRecord, decode_keyring
from ..storeowner import give

FILE: Final = "keyring"
"""The copy in the store's folder."""
MOST_NUMBERS: Final = 4
"""Keyrings of one backend that are read: whoever changes one removes the one before."""
MOST_TRIED: Final = 16
"""Different keyrings that a secret is tried on: each costs Argon2id's time for every slot."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """What lies under one number; `record` is None where that is no sound keyring of the store."""

    number: int
    data: bytes
    record: KeyringRecord | None


@dataclass(slots=True)
class Found:
    """What backends have, by name, the highest number first, and what those said that failed."""

    copies: dict[str, tuple[Copy, ...]] = field(default_factory=dict)
    failed: dict[str, BackendError] = field(default_factory=dict)

    def records(self, above: int = 0) -> list[KeyringRecord]:
        """Different sound keyrings of higher numbers than `above`, the highest first, MOST_TRIED
        at most; of equal ones of a number those first that more backends have."""
        held: dict[bytes, int] = {}
        sound: dict[bytes, KeyringRecord] = {}
        for copies in self.copies.values():
            for copy in copies:
                if copy.record is not None and copy.number > above:
                    held[copy.data] = held.get(copy.data, 0) + 1
                    sound[copy.data] = copy.record
        order = sorted(sound, key=lambda data: (-sound[data].number, -held[data], data))
        return [sound[data] for data in order[:MOST_TRIED]]


async def find_copies(
    backends: Iterable[Backend], store: StoreId, patience: float = math.inf
) -> Found:
    """What every backend has, all of them asked at once. Nothing is raised.

    Once one has a sound keyring the others are waited for until `patience` seconds have passed.
    """
    found, sound, asked = Found(), trio.Event(), list(backends)

    async def ask(backend: Backend) -> None:
        try:
            found.copies[backend.name] = copies = await _copies_on(backend, store)
        except BackendError as error:
            found.failed[backend.name] = error
        else:
            if any(copy.record is not None for copy in copies):
                sound.set()

    async def give_up(scope: trio.CancelScope) -> None:
        await trio.sleep(patience)
        await sound.wait()
        scope.cancel()

    async with trio.open_nursery() as watching:
        async with trio.open_nursery() as nursery:
            watching.start_soon(give_up, nursery.cancel_scope)
            for backend in asked:
                nursery.start_soon(ask, backend)
        watching.cancel_scope.cancel()
    for backend in asked:
        if backend.name not in found.copies and backend.name not in found.failed:
            found.failed[backend.name] = TimedOutError(
                f"backend {backend.name} did not answer within {patience:g} s", backend=backend.name
            )
    return found


async def put_copies(
    backends: Sequence[Backend], number: int, data: bytes
) -> dict[str, BackendError]:
    """Make `data` the keyring of that number on every backend, then remove the earlier ones there;
    what those said, by name, that do not have it now."""
    failed: dict[str, BackendError] = {}

    async def put(backend: Backend) -> None:
        try:
            await put_copy(backend, number, data)
        except BackendError as error:
            failed[backend.name] = error

    async with trio.open_nursery() as nursery:
        for backend in backends:
            nursery.start_soon(put, backend)
    return failed


async def put_copy(backend: Backend, number: int, data: bytes) -> None:
    """The same on one backend."""
    patient = RetryBackend(backend)
    await patient.put(keyring_key(number), [data])
    try:
        for earlier in await _numbers(backend):
            if earlier < number:
                await patient.delete(keyring_key(earlier))
    except BackendError as error:
        # It stays until the next change; the newer one counts.
        log.info("%s", error)


def sound_record(data: bytes, store: StoreId, what: str) -> KeyringRecord | None:
    """The record that `data` is, None where it is damaged, newer or of another store."""
    try:
        record = decode_keyring(data, what)
    except FormatError as error:
        log.info("%s", error)
        return None
    return record if record.store == store else None


def local_copy(folder: str) -> bytes | None:
    """The copy in the store's folder, None where there is none that can be read; blocks."""
    try:
        with open(os.path.join(folder, FILE), "rb") as file:
            return file.read(LONGEST + 1)
    except OSError:
        return None


def write_local_copy(folder: str, data: bytes) -> None:
    """Make `data` the copy in the store's folder; blocks. OSError where that fails."""
    path = os.path.join(folder, FILE)
    replace_file(path, data, 0o600)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        give(fd, folder)
    finally:
        os.close(fd)


def remove_local_copy(folder: str) -> None:
    """Take the copy out of the store's folder; blocks."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, FILE))


async def _copies_on(backend: Backend, store: StoreId) -> tuple[Copy, ...]:
    copies = []
    for number in (await _numbers(backend))[:MOST_NUMBERS]:
        key = keyring_key(number)
        with contextlib.suppress(KeyNotFoundError):
            data = await backend.get(key, most=LONGEST)
            record = sound_record(data, store, f"{key} on backend {backend.name}")
            if record is not None and record.number != number:
                record = None
            copies.append(Copy(number, data, record))
    return tuple(copies)


async def _numbers(backend: Backend) -> list[int]:
    """The numbers of all keyrings on a backend, the highest first."""
    parsed = [parse_keyring_key(listed.key) for listed in await listed_below(backend, "keys/")]
    return sorted((number for number in parsed if number is not None), reverse=True)
