"""Condemned packs: records on the backends of what is to be deleted, and where its shards are.

Written before a pack's tombstone, removed when its last shard is gone: so whatever ends a
collection early, a backend that is down or a crash, the next one knows what is left to delete
without listing every shard of the store.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final, TypeVar

import trio

from ...backends.bulk import delete_all
from ...backends.keys import condemned_key, parse_condemned_key, shard_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, FormatError, UnavailableError, one_failure
from ...ids import BackendId, Key, PackId
from ..formats.condemned import LONGEST, Condemned, decode_condemned, encode_condemned
from ..formats.journal import NOWHERE
from ..index.records import PackRecord
from ..lease.lease import Fence, unfenced
from ..packs.members import Member, Members
from ..packs.placement import place

PARALLEL: Final = 32
"""Packs that are worked on at once; each backend limits itself besides."""
TOGETHER: Final = 250
"""Packs whose shards are deleted together, and then their records."""
MOST: Final = 100_000
"""Records of one backend that are held: it can condemn packs without end that nobody has."""

_T = TypeVar("_T")

log = logging.getLogger(__name__)


def sentence(members: Members, pack: PackRecord) -> Condemned:
    """The record that condemns a pack."""
    return Condemned(members.store, pack.id, pack.k, pack.m, pack.backends)


async def condemn(members: Members, records: Sequence[Condemned], copies: int) -> None:
    """Make the records durable, `copies` of each while backends last, one at least.

    What a backend said where none takes one.
    """

    async def write(record: Condemned) -> None:
        up = {member.id: member for member in members.recording(copies)}
        places = place(record.pack, [m.candidate for m in up.values()], copies)
        failures = [
            failure
            for where in dict.fromkeys(places)
            if (failure := await _put(members, up[where], record)) is not None
        ]
        if len(failures) == len(set(places)):
            raise failures[0] if failures else UnavailableError("no backend is up")

    await each(write, records)


async def _put(members: Members, member: Member, record: Condemned) -> BackendError | None:
    try:
        await RetryBackend(member.backend).put(
            condemned_key(record.pack), [encode_condemned(record)]
        )
    except BackendError as error:
        members.note_failure(member, error, writing=True)
        return error
    return None


async def condemned(members: Members) -> dict[PackId, Condemned]:
    """The records that are found on backends that are up, of each MOST at most that no other has,
    damaged ones among them, which are passed over; what is left the next collection finds."""
    found: dict[PackId, Condemned] = {}
    for member in members.up():
        looked = 0
        try:
            async with aclosing(member.backend.list("condemned/")) as listing:
                async for listed in listing:
                    pack = parse_condemned_key(listed.key)
                    if pack is None or pack in found:
                        continue
                    if (record := await _read(members, member, listed.key, pack)) is not None:
                        found[pack] = record
                    looked += 1
                    if looked >= MOST:
                        break
        except BackendError as error:
            members.note_failure(member, error)
            log.warning("%s", error)
    return found


async def _read(members: Members, member: Member, key: Key, pack: PackId) -> Condemned | None:
    try:
        data = await member.backend.get(key, most=LONGEST)
        record = decode_condemned(data, f"{key} on {member.name}")
    except FormatError as error:
        log.warning("%s", error)
        return None
    return record if (record.store, record.pack) == (members.store, pack) else None


async def execute(members: Members, records: Iterable[Condemned], fence: Fence = unfenced) -> int:
    """Delete the shards of packs that nothing names any more, and then the records themselves.

    `fence` is called before each call that deletes. The number of packs of which a shard could not
    be deleted now: their records stay.
    """
    left, waiting = 0, iter(records)
    while some := list(islice(waiting, TOGETHER)):
        stay = await _delete_shards(members, some, fence)
        await _delete_records(members, [r.pack for r in some if r.pack not in stay], fence)
        left += len(stay)
    return left


async def _delete_shards(
    members: Members, records: Sequence[Condemned], fence: Fence
) -> set[PackId]:
    """Delete shards; the packs of which one may be there still."""
    doomed: dict[BackendId, dict[Key, PackId]] = {}
    for record in records:
        for index, where in enumerate(record.backends):
            # A backend that is no member any more has nothing of ours.
            if where != NOWHERE and members.get(where) is not None:
                key = shard_key(record.pack, index, record.k, record.m)
                doomed.setdefault(where, {})[key] = record.pack
    return await _delete_everywhere(members, doomed, fence)


async def _delete_records(members: Members, packs: Sequence[PackId], fence: Fence) -> None:
    doomed = {
        member.id: {condemned_key(pack): pack for pack in packs} for member in members.writable()
    }
    await _delete_everywhere(members, doomed, fence)


async def pardon(members: Members, *packs: PackId, fence: Fence = unfenced) -> None:
    """Remove the records of packs wherever they lie; what cannot be removed now goes the next
    time. `fence` is called before each call that does."""
    await _delete_records(members, packs, fence)


async def _delete_everywhere(
    members: Members, doomed: dict[BackendId, dict[Key, PackId]], fence: Fence
) -> set[PackId]:
    """Delete keys, of all backends at once; the packs of which one may be there still."""
    stay: set[PackId] = set()

    async def delete(member: Member, keys: dict[Key, PackId]) -> None:
        if not member.health.writable:
            stay.update(keys.values())
            return

        def goes_on(error: BackendError) -> bool:
            members.note_failure(member, error, writing=True)
            return member.health.writable

        for key, error in (await delete_all(member.backend, list(keys), fence, goes_on)).items():
            log.warning("%s: %s stays for the next gc", error, key)
            stay.add(keys[key])

    with one_failure():
        async with trio.open_nursery() as nursery:
            for where, keys in doomed.items():
                if keys and (member := members.get(where)) is not None:
                    nursery.start_soon(delete, member, keys)
    return stay


async def each(work: Callable[[_T], Awaitable[None]], items: Iterable[_T]) -> None:
    """Do `work` for every item, PARALLEL at once."""
    pending = iter(items)

    async def run() -> None:
        for item in pending:
            await work(item)

    async with trio.open_nursery() as nursery:
        for _ in range(PARALLEL):
            nursery.start_soon(run)
