"""Copies of journal records on the backends: written once, read from wherever one is sound.

A copy counts only where its BLAKE3 is right and it says the store, writer, number and predecessor
that were asked for: a copy of another record at its key is as good as damaged. So is one of an
encrypted store that was not encrypted by its key.
"""

import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.keys import journal_key, parse_journal_key
from ...backends.retry import RetryBackend
from ...errors import (
    BackendError,
    KeyExistsError,
    KeyNeededError,
    KeyNotFoundError,
    UnavailableError,
)
from ...ids import BackendId, Key, StoreId, WriterId
from ..encryption.storecipher import StoreCipher
from ..formats.journal import (
    LONGEST,
    RecordHead,
    decode_head,
    is_genuine,
    is_sound,
    is_vouched_for,
)
from ..packs.members import Member, Members
from ..packs.placement import UNLIMITED, Crowding, place

CLEANUP: Final = 10.0
"""Seconds that taking back the copies of a record that failed may take."""
READERS: Final = 8
"""Copies that are asked for at once while a record is looked for where it should not be."""

MOST_LISTED: Final = 10_000_000
"""Copies of journal records of which one listing may tell."""

log = logging.getLogger(__name__)


def record_name(writer: WriterId, seq: int) -> str:
    """How messages and reports name a journal record."""
    return f"journal record {writer.hex()[:8]}/{seq}"


async def store_record(
    members: Members, writer: WriterId, seq: int, data: bytes, copies: int
) -> None:
    """Make all copies of a record durable, each on another backend where one fails; what a backend
    said unless all but one, at least one, are. UnavailableError where so few can be written to that
    who looks for the record later may miss it. KeyExistsError when another record has that number
    somewhere: nothing is replaced.

    Of a record that fails so, no copy is left behind where that can be helped: it was announced to
    nobody, and found later it would stand beside what was done in its place.
    """
    up = {member.id: member for member in members.writable()}
    places = place(writer, [m.candidate for m in members.recording(copies)], copies)
    if not places:
        raise UnavailableError(
            f"no backend is up ({members.why_none()}): nothing can be recorded; see `backend ls`"
        )
    least = surely_held(len(members), copies)
    if len(set(places)) < least:
        names = ", ".join(sorted(m.name for m in members if m.id not in up))
        raise UnavailableError(
            f"with {names} down or read-only nothing can be recorded: too few are left to find it "
            "on; bring one back"
        )
    failures: dict[int, BackendError] = {}
    made: list[tuple[Member, Key]] = []
    held: dict[int, BackendId] = {}

    async def put(copy: int, where: BackendId) -> None:
        key = journal_key(writer, seq, copy)
        try:
            if await _put_once(up[where], key, data):
                made.append((up[where], key))
            held[copy] = where
            failures.pop(copy, None)
        except BackendError as error:
            members.note_failure(up[where], error, writing=True)
            failures[copy] = error

    pending, tried = dict(enumerate(places)), set[BackendId]()
    while pending:
        tried.update(pending.values())
        async with trio.open_nursery() as nursery:
            for copy, where in pending.items():
                nursery.start_soon(put, copy, where)
        free = [m.candidate for m in up.values() if m.id not in tried]
        taken = [up[where].candidate for where in held.values()]
        others = place(writer, free, len(failures), taken, Crowding(1, UNLIMITED.domain))
        pending = {} if _conflict(failures) else dict(zip(sorted(failures), others, strict=False))
    too_few = len(held) < max(1, copies - 1) or len(set(held.values())) < least
    refusal = _conflict(failures) or (next(iter(failures.values())) if too_few else None)
    if refusal is not None:
        await _take_back(made)
        raise refusal
    for error in failures.values():
        log.warning("%s is without one of its copies: %s", record_name(writer, seq), error)


def surely_held(members: int, copies: int) -> int:
    """On how many backends a record lies that was written while some failed, m of them at most:
    with fewer away, one copy is found."""
    return max(1, min(copies - 1, members - (copies - 1)))


def _conflict(failures: Mapping[int, BackendError]) -> KeyExistsError | None:
    """That another record has the number; None where none is known to have it."""
    return next((e for e in failures.values() if isinstance(e, KeyExistsError)), None)


async def _put_once(member: Member, key: Key, data: bytes) -> bool:
    """Put a copy where none is; whether it is this call's, for all that one can know."""
    backend = RetryBackend(member.backend)
    try:
        await backend.put(key, [data], if_absent=True)
    except KeyExistsError:
        # Its own first try, or another opening's: equal bytes are as good as written.
        if await backend.get(key, most=len(data)) != data:
            raise
        return False
    return True


async def _take_back(made: list[tuple[Member, Key]]) -> None:
    """Remove copies again, best effort."""

    async def delete(member: Member, key: Key) -> None:
        try:
            await member.backend.delete(key)
        except BackendError as error:
            log.info("%s; a copy of a record that failed stays behind", error)

    with trio.move_on_after(CLEANUP, shield=True):
        async with trio.open_nursery() as nursery:
            for member, key in made:
                nursery.start_soon(delete, member, key)


@dataclass(frozen=True, slots=True)
class Found:
    """A sound record. It is `whole` where each of its copies was read and says the same, on the
    backend where it would be written now. `holders` have it,
    as far as they were asked, and `lacked` says that another one was, and has it not."""

    data: bytes
    whole: bool
    holders: tuple[Member, ...]
    lacked: bool


async def find_record(
    members: Members,
    store: StoreId,
    writer: WriterId,
    seq: int,
    previous: bytes,
    copies: int,
) -> Found | None:
    """A sound copy of the record after the one with the digest `previous`, from any backend that
    is up; None where none has one. FormatError when a newer release wrote it.

    Of an encrypted store one that its key vouches for is taken before any that somebody else may
    have made.
    """
    up = {member.id: member for member in members.up()}
    places = place(writer, [m.candidate for m in up.values()], copies)
    likely = list(enumerate(places))
    others = [(c, id_) for id_ in up for c in range(copies) if (c, id_) not in likely]
    rest = [others[start : start + READERS] for start in range(0, len(others), READERS)]
    found: dict[int, bytes] = {}
    holders: set[BackendId] = set()
    without: set[BackendId] = set()

    async def load(copy: int, where: BackendId) -> None:
        data = await load_copy(members, up[where], writer, seq, copy)
        if data is None:
            if not up[where].down:
                without.add(where)
            return
        holders.add(where)
        head = head_of(data, store, writer, seq)
        if head is not None and head.previous == previous:
            found[copy] = data
        else:
            name = record_name(writer, seq)
            log.warning("copy %d of %s on %s is not what was written", copy, name, up[where].name)

    def as_found(data: bytes, *, whole: bool) -> Found:
        return Found(data, whole, tuple(up[id_] for id_ in holders), bool(without - holders))

    told: list[bytes] = []
    for some in (likely, *rest):
        async with trio.open_nursery() as nursery:
            for copy, where in some:
                nursery.start_soon(load, copy, where)
        told = believable((found[copy] for copy in sorted(found)), members.cipher)
        if told and vouched_for(told[0], members.cipher):
            alike = [found.get(copy) == told[0] for copy in range(copies)]
            return as_found(told[0], whole=some is likely and all(alike))
    return as_found(told[0], whole=False) if told else None


async def sound_copies(
    members: Members, store: StoreId, writer: WriterId, seq: int, copies: int
) -> list[bytes]:
    """All sound copies of a record on backends that are up, whatever they say."""
    found: list[bytes] = []

    async def load(copy: int, member: Member) -> None:
        data = await load_copy(members, member, writer, seq, copy)
        if data is not None and head_of(data, store, writer, seq) is not None:
            found.append(data)

    async with trio.open_nursery() as nursery:
        for copy in range(copies):
            for member in members.up():
                nursery.start_soon(load, copy, member)
    return found


def believable(found: Iterable[bytes], cipher: StoreCipher) -> list[bytes]:
    """Which of several sound contents of a record count, in their order.

    Of an encrypted store those that its key vouches for; where there are none, those that say
    nothing but places of shards, which takes no key. A forged one never counts.
    """
    different = list(dict.fromkeys(found))
    if not cipher.encrypted:
        return different
    genuine = [data for data in different if not is_forged(data, cipher)]
    return [data for data in genuine if vouched_for(data, cipher)] or genuine


def vouched_for(data: bytes, cipher: StoreCipher) -> bool:
    """Whether nobody but this store's writers can have made a record, if it is not forged; of a
    store in the clear each counts as such."""
    return not cipher.encrypted or is_vouched_for(data)


def is_forged(data: bytes, cipher: StoreCipher) -> bool:
    """Whether a sound record is seen not to be what a writer of this store made."""
    try:
        return cipher.encrypted and not is_genuine(data, cipher)
    except KeyNeededError:
        return False


def head_of(data: bytes, store: StoreId, writer: WriterId, seq: int) -> RecordHead | None:
    """What a copy says of itself; None when it is damaged or another record's.

    FormatError when a newer release wrote it.
    """
    if not is_sound(data):
        return None
    head = decode_head(data, record_name(writer, seq))
    return head if (head.store, head.writer, head.seq) == (store, writer, seq) else None


async def read_copy(
    backend: Backend, writer: WriterId, seq: int, copy: int, most: int = LONGEST
) -> bytes:
    """The same; BackendError when they cannot be had."""
    return await backend.get(journal_key(writer, seq, copy), most=min(most, LONGEST))


async def listed_records(member: Member) -> AsyncGenerator[tuple[WriterId, int, int, int], None]:
    """Writer, number, copy and bytes of each copy of a record that a backend lists; what it says
    where it cannot be listed, and UnavailableError where it names so many that nobody has them."""
    count = 0
    async with aclosing(member.backend.list("journal/")) as listing:
        async for listed in listing:
            if (parsed := parse_journal_key(listed.key)) is not None:
                yield *parsed, listed.size
            count += 1
            if count > MOST_LISTED:
                raise too_many(member)


def too_many(member: Member) -> UnavailableError:
    """What is told of a backend that lists journal records without end."""
    return UnavailableError(
        f"backend {member.name} names more than {MOST_LISTED:,} journal records, as many as nobody "
        "has: look who writes to it, and delete what is not the store's below journal/ there",
        backend=member.name,
    )


async def last_listed(member: Member, writer: WriterId) -> tuple[int, int]:
    """The highest number of a writer that a backend has any copy of, sound or not, 0 for none; and
    how many bytes that copy has."""
    last, size, highest, count = 0, 0, "", 0
    async with aclosing(member.backend.list(f"journal/{writer.hex()}/")) as listing:
        async for listed in listing:
            count += 1
            if count > MOST_LISTED:
                raise too_many(member)
            # Keys sort as the numbers in them do, and to compare them takes less than to read one.
            if listed.key > highest and (parsed := parse_journal_key(listed.key)) is not None:
                last, size, highest = parsed[1], listed.size, listed.key
    return last, size


async def load_copy(
    members: Members,
    member: Member,
    writer: WriterId,
    seq: int,
    copy: int,
    most: int = LONGEST,
) -> bytes | None:
    """The bytes of one copy as they are, of one that is longer than `most` no more than shows that;
    None, with the reason logged, when they cannot be had."""
    try:
        return await read_copy(member.backend, writer, seq, copy, most)
    except KeyNotFoundError:
        return None
    except BackendError as error:
        members.note_failure(member, error)
        log.warning("%s", error)
        return None
