"""Checking the copies of an encrypted store's keyring: on every backend, and the newest one.

With the keys it is known which keyrings are genuine. Without them the one in the store's folder is
believed, and what backends have of higher numbers is left alone: it may be a later one. Where the
folder has none, the one is that more than half of all backends have: one of them alone could forge
what would take the place of all genuine ones.
"""

import logging
from collections import Counter
from collections.abc import Iterable

import trio

from ...backends.keys import keyring_key
from ...errors import BackendError
from ..encryption.copies import (
    FILE,
    Copy,
    Found,
    find_copies,
    local_copy,
    put_copy,
    sound_record,
    write_local_copy,
)
from ..encryption.keyring import open_keyring
from ..encryption.keys import StoreKeys
from ..formats.keyring import KeyringRecord, encode_keyring
from ..packs.members import Member, Members
from .report import Problem, VerifyReport

log = logging.getLogger(__name__)


async def check_keyrings(
    members: Members, folder: str, keys: StoreKeys | None, report: VerifyReport, *, repair: bool
) -> None:
    """Check that every backend that is up has the newest keyring, and with `repair` put it there.

    `folder` is the store's, whose copy is seen to as well. Where none is left that is sound, only
    who has the keys can make another; they were told when they opened the store.
    """
    up = members.up()
    found = await find_copies([member.backend for member in up], members.store)
    data = await trio.to_thread.run_sync(local_copy, folder)
    local = None if data is None else sound_record(data, members.store, FILE)
    if keys is None:
        newest = local or _of_most(found, len(members))
    else:
        newest = _newest([*found.records(), *([] if local is None else [local])], keys)
    if newest is None:
        if keys is None:
            problem = "none that is sound is left: only the recovery sheet opens the store"
            if found.records():
                problem = "no telling which is right: give the key, or bring other backends back"
            report.note(Problem("", 0, "", problem, False, "keyring"))
        return
    if local != newest and repair:
        await trio.to_thread.run_sync(_keep, folder, newest)
    for member in up:
        if (error := found.failed.get(member.name)) is not None:
            members.note_failure(member, error)
            continue
        await _check(members, member, found.copies[member.name], newest, report, repair=repair)
        if keys is not None:
            await _check_forged(member, found.copies[member.name], newest, report, repair=repair)


def _newest(records: Iterable[KeyringRecord], keys: StoreKeys) -> KeyringRecord | None:
    """The keyring that every backend is to have."""
    genuine = (record for record in records if open_keyring(record, keys) is not None)
    return max(genuine, key=lambda record: record.number, default=None)


def _of_most(found: Found, backends: int) -> KeyringRecord | None:
    """The keyring that more than half of so many backends have, None where they have none such."""
    shown = (copy.record for copies in found.copies.values() for copy in copies)
    held = Counter(record for record in shown if record is not None)
    return next((record for record, count in held.items() if 2 * count > backends), None)


async def _check(
    members: Members,
    member: Member,
    copies: tuple[Copy, ...],
    newest: KeyringRecord,
    report: VerifyReport,
    *,
    repair: bool,
) -> None:
    """Whether one backend has the newest keyring, or for all that is known a later one."""
    if any(copy.record == newest for copy in copies):
        return
    same = next((copy for copy in copies if copy.number == newest.number), None)
    problem = "missing" if not copies else "an earlier one" if same is None else "damaged"
    if same is None and any(c.record is not None and c.number > newest.number for c in copies):
        return
    repaired = repair and member.health.writable
    if repaired:
        try:
            await put_copy(member.backend, newest.number, encode_keyring(newest))
        except BackendError as error:
            members.note_failure(member, error, writing=True)
            log.warning("%s", error)
            repaired = False
    report.note(Problem("", 0, member.name, problem, repaired, "keyring"))


async def _check_forged(
    member: Member,
    copies: tuple[Copy, ...],
    newest: KeyringRecord,
    report: VerifyReport,
    *,
    repair: bool,
) -> None:
    """Remove what has a higher number than the newest genuine one: each costs who opens the store
    the time of a try."""
    for copy in copies:
        if copy.number <= newest.number:
            continue
        repaired = repair and member.health.writable
        if repaired:
            try:
                await member.backend.delete(keyring_key(copy.number))
            except BackendError as error:
                log.warning("%s", error)
                repaired = False
        report.note(Problem("", 0, member.name, "damaged or forged", repaired, "keyring"))


def _keep(folder: str, newest: KeyringRecord) -> None:
    try:
        write_local_copy(folder, encode_keyring(newest))
    except OSError as error:
        log.warning("%s/%s cannot be written: %s", folder, FILE, error.strerror)
