"""Looks at backends: at all of them when a store is opened, then at those whose calls failed.

A look reads the marker: one that cannot be read, or is another's, means down. When to look again is
`health`'s to say; a full backend is asked whether it has room again.

Concurrency: one look at a backend at a time; whoever wants another one waits for it.
"""

import contextlib
from collections.abc import Iterable, Iterator
from random import SystemRandom
from typing import Final

import trio

from ...backends.marker import check_encrypted, check_marker
from ...errors import BackendError, DeniedError, FormatError, MarkerError
from ...ids import StoreId
from .health import NEVER, Event, Taking
from .member import Member

LOOK_LIMIT: Final = 5.0
"""Seconds that a backend has to show its marker before it counts as down."""
TICK: Final = 5.0
"""Seconds after which `Looks.run` looks who is there, if nothing calls it earlier."""
ROOM: Final = 256 << 20
"""Bytes that a backend which was full must have free before it gets shards again: a few of them."""


class Looks:
    """Looks at members of the store `store`, which is `encrypted` or in the clear."""

    def __init__(self, store: StoreId, *, encrypted: bool) -> None:
        self._store = store
        self._encrypted = encrypted
        self._random = SystemRandom()
        self._woken = trio.Event()
        self._under_way: dict[int, trio.Event] = {}

    def draw(self) -> float:
        """A chance in [0, 1), for the next pause."""
        return self._random.random()

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    async def run(self, members: Iterable[Member]) -> None:
        """Look at what is due, for as long as this runs; `members` may come and go meanwhile."""
        async with trio.open_nursery() as nursery:
            while True:
                self._woken = trio.Event()
                now = trio.current_time()
                for member in members:
                    self._begin(nursery, member, now)
                with trio.move_on_at(min([now + TICK, *map(self._due, members)])):
                    await self._woken.wait()

    def _begin(self, nursery: trio.Nursery, member: Member, now: float) -> None:
        if id(member) in self._under_way:
            return
        # Claimed here, because a task begins later than this asks again what is due.
        if member.health.look_at <= now:
            nursery.start_soon(self._look, member, self._claim(member))
        elif member.health.room_at <= now:
            nursery.start_soon(self._ask_for_room, member, self._claim(member))

    def _due(self, member: Member) -> float:
        """When to begin with a member; that of one under way is known when that has ended."""
        if id(member) in self._under_way:
            return NEVER
        return min(member.health.look_at, member.health.room_at)

    async def at_all(self, members: Iterable[Member]) -> None:
        """Look at all of them at once."""
        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(self.at, member)

    async def at(self, member: Member) -> None:
        """Read one member's marker, and note what that tells."""
        others = self._under_way.get(id(member))
        if others is not None:
            await others.wait()
            return
        await self._look(member, self._claim(member))

    def _claim(self, member: Member) -> trio.Event:
        done = self._under_way[id(member)] = trio.Event()
        return done

    async def _look(self, member: Member, done: trio.Event) -> None:
        with self._under_claim(member, done):
            began = trio.current_time()
            member.refuses = False
            problem = await self._problem(member)
            member.answered = None if problem else trio.current_time() - began
            event = Event.LOOKED_BADLY if problem else Event.LOOKED_WELL
            self._note(member, event, problem)

    @contextlib.contextmanager
    def _under_claim(self, member: Member, done: trio.Event) -> Iterator[None]:
        try:
            yield
        finally:
            del self._under_way[id(member)]
            done.set()
            self.wake()

    async def _problem(self, member: Member) -> str:
        """Why it is not there, "" where it is."""
        with trio.move_on_after(LOOK_LIMIT):
            try:
                marker = await check_marker(member.backend, self._store, member.id)
                check_encrypted(marker, member.name, encrypted=self._encrypted)
                member.marker = marker
            except (BackendError, FormatError) as error:
                if isinstance(error, MarkerError | FormatError):
                    member.marker = None
                member.refuses = isinstance(error, DeniedError)
                return str(error)
            return ""
        return f"backend {member.name} did not answer within {LOOK_LIMIT:g} s"

    async def ask_for_room(self, member: Member) -> None:
        """See whether one takes shards again. Where nobody can tell the next shard tries it."""
        if id(member) not in self._under_way:
            await self._ask_for_room(member, self._claim(member))

    async def _ask_for_room(self, member: Member, done: trio.Event) -> None:
        with self._under_claim(member, done):
            free = None
            with trio.move_on_after(LOOK_LIMIT):
                free = await self._free(member)
            full = member.health.taking is Taking.FULL and free is not None and free < ROOM
            self._note(member, Event.NO_ROOM if full else Event.ROOM, member.health.lacking)

    async def _free(self, member: Member) -> int | None:
        try:
            return (await member.backend.usage()).free
        except BackendError:
            return None

    def _note(self, member: Member, event: Event, why: str) -> None:
        now = trio.current_time()
        member.become(member.health.after(event, now, why=why, draw=self.draw()))
