"""The reserve of each backend: an object that is given up where the backend is full.

What makes room takes a little itself, on the backends as on the disk of the store's folder: the
record that a ref is gone, the lease of who deletes, records of what is condemned. On a full backend
there is none, so who removes gives up what lies there for that, and makes it anew when it is done.

It lies on the backends, and is of all folders that share them: whoever needs it takes it.
Concurrency: one task of a process gives it up or makes it; a backend is asked by one task.
"""

import logging
import os
from typing import Final

import trio

from ..backends.base import Backend
from ..backends.keys import RESERVE_KEY
from ..errors import BackendError, KeyNotFoundError, QuotaError
from ..ids import BackendId
from .packs.health import Event, State, Taking
from .packs.members import Member, Members

SIZE: Final = 1 << 20
"""Bytes of it, where there is room: records of hundreds of packs, a block of a disk for each."""
LEAST: Final = 64 << 10
"""Less is none."""

log = logging.getLogger(__name__)


async def set_aside(backend: Backend, there: int = 0) -> int:
    """Make it on a backend that has `there` bytes of it, as long as there is room for, up to SIZE;
    how long it is then.

    BackendError for any other reason than that there is no room.
    """
    size = SIZE
    while size >= max(LEAST, there + 1):
        try:
            # Of bytes that no filesystem makes less of, whatever it compresses.
            await backend.put(RESERVE_KEY, [await trio.to_thread.run_sync(os.urandom, size)])
        except QuotaError:
            size //= 2
        else:
            return size
    return there


class Ballast:
    """The reserves on the backends of one store, as one process takes and makes them."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._asked: set[BackendId] = set()

    async def give_up(self, error: BaseException) -> bool:
        """Delete it on backends that are full, as `error` or their calls tell; whether that gave
        any room. Each is asked once, until `make`."""
        named, gave = _named(error), list[Member]()
        full = [
            member
            for member in self._members.writable()
            if member.id not in self._asked
            and (member.health.taking is Taking.FULL or member.name in named)
        ]

        async def delete(member: Member) -> None:
            if await self._delete(member):
                gave.append(member)

        async with trio.open_nursery() as nursery:
            for member in full:
                self._asked.add(member.id)
                nursery.start_soon(delete, member)
        if gave:
            names = ", ".join(sorted(member.name for member in gave))
            log.warning("no room is left on %s: giving up the reserve there", names)
        return bool(gave)

    async def make(self) -> None:
        """Have one on each backend that the user wants to hold shards, where there is room."""
        self._asked.clear()
        async with trio.open_nursery() as nursery:
            for member in self._members.writable():
                if member.health.decided is not State.DRAINING:
                    nursery.start_soon(self._make, member)

    async def _delete(self, member: Member) -> bool:
        try:
            await member.backend.head(RESERVE_KEY)
            await member.backend.delete(RESERVE_KEY)
        except BackendError as error:
            self._members.note_failure(member, error)
            log.info("%s", error)
            return False
        self._members.hear(member, Event.ROOM)
        return True

    async def _make(self, member: Member) -> None:
        try:
            there = await _length(member.backend)
            if await set_aside(member.backend, there) < LEAST:
                log.info("no room for a reserve on backend %s", member.name)
        except BackendError as error:
            self._members.note_failure(member, error)
            log.info("%s", error)


async def _length(backend: Backend) -> int:
    """Bytes of it that are there."""
    try:
        return await backend.head(RESERVE_KEY)
    except KeyNotFoundError:
        return 0


def _named(error: BaseException) -> set[str]:
    """The names of backends that an error, or one of a group of them, says are full."""
    if isinstance(error, BaseExceptionGroup):
        return set().union(*(_named(inner) for inner in error.exceptions))
    names, cause = set[str](), error
    while cause is not None:
        if isinstance(cause, QuotaError):
            names.add(cause.backend)
        cause = cause.__cause__  # type: ignore[assignment]
    return names - {""}
