"""Signs of life: a record below `sessions/` that somebody is at work, on m+1 backends.

Concurrency: one task writes a sign again and again; others may begin further ones.
"""

import logging
from typing import Final

import trio

from ...backends.keys import session_key
from ...backends.retry import RetryBackend
from ...errors import BackendError
from ...ids import BackendId, WriterId
from ..formats.presence import PresenceRecord, encode_presence
from ..packs.members import Member, Members
from ..packs.placement import UNLIMITED, Crowding, place
from .landing import let_land

CLEANUP: Final = 10.0
"""Seconds that removing the records at the end may take."""

log = logging.getLogger(__name__)


class Signs:
    """The signs of one process; each is named by its record's owner. `copies` is m+1."""

    def __init__(self, members: Members, copies: int) -> None:
        self._members = members
        self._copies = copies
        self._where: dict[WriterId, set[BackendId]] = {}

    async def write(self, record: PresenceRecord) -> bool:
        """Lay a record on m+1 backends while they last, on others where some fail; False where none
        can be written to. What a backend said where too few took it."""
        owner = WriterId(record.owner)
        up = {m.id: m for m in self._members.recording(self._copies)}
        if not up:
            return False
        held = self._where.setdefault(owner, set())
        targets = place(owner, [m.candidate for m in up.values()], self._copies)
        tried, failures, done = set[BackendId](), list[BackendError](), set[BackendId]()
        data = encode_presence(record)

        async def put(member: Member) -> None:
            try:
                held.add(member.id)
                backend = RetryBackend(member.backend)
                await let_land(lambda: backend.put(session_key(owner), [data]))
                done.add(member.id)
            except BackendError as error:
                self._members.note_failure(member, error)
                failures.append(error)

        wanted = len(set(targets))
        while targets:
            tried.update(targets)
            async with trio.open_nursery() as nursery:
                for where in set(targets):
                    nursery.start_soon(put, up[where])
            free = [m.candidate for m in up.values() if m.id not in tried]
            taken = [up[where].candidate for where in done]
            most = Crowding(1, UNLIMITED.domain)
            targets = place(owner, free, wanted - len(done), taken, most)
        if len(done) < max(1, wanted - 1):
            raise failures[0]
        return True

    async def remove(self) -> None:
        """Remove all of them; those that cannot be go by themselves."""
        with trio.move_on_after(CLEANUP, shield=True):
            async with trio.open_nursery() as nursery:
                for owner, where in self._where.items():
                    for id_ in where:
                        nursery.start_soon(self._remove, owner, id_)

    async def _remove(self, owner: WriterId, where: BackendId) -> None:
        member = self._members.get(where)
        if member is None or member.down:
            return
        try:
            await member.backend.delete(session_key(owner))
        except BackendError as error:
            log.info("%s: the session's record there goes by itself", error)
