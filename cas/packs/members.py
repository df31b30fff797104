"""The backends of a store as its pool sees them: who is there, what each is good for, and why.

What their calls tell goes through `health`; `Members.watch` looks again at those that failed.

Concurrency: states change in the event loop only, between awaits.
"""

import errno
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import trio

from ...errors import BackendError, QuotaError
from ...ids import BackendId, StoreId
from ..encryption.storecipher import CLEAR, StoreCipher
from .health import NEVER, Event, Taking, told_by
from .looks import Looks
from .member import Member as Member

REMOTE: Final = 0.005
"""A backend that takes at least so many seconds to answer is remote; what a nearer one holds is had
as soon as a copy of it."""
AGAIN: Final = 5.0
"""Seconds between two looks at what is down for those who cannot go on without it."""
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE})


class Members:
    """All members, by UUID."""

    def __init__(self, store: StoreId, members: list[Member], cipher: StoreCipher = CLEAR) -> None:
        self._store = store
        self.cipher = cipher
        """How what they hold is encrypted, if it is."""
        self._by_id = {member.id: member for member in members}
        self._opened = list(members)
        self._former: dict[BackendId, str] = {}
        self._looks = Looks(store, encrypted=cipher.encrypted)
        self._looking = trio.Lock()
        self._next_look = -NEVER
        self.refresh: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        """Takes over what the configuration has come to say; who has waited for a lock calls it."""

    @property
    def store(self) -> StoreId:
        """The id of the store whose members they are."""
        return self._store

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id_: BackendId) -> Member | None:
        """The member of that UUID, up or down."""
        return self._by_id.get(id_)

    def up(self) -> list[Member]:
        """Members that may be read: all that are not down."""
        return [member for member in self if member.health.readable]

    def down(self) -> list[Member]:
        """Members that may not."""
        return [member for member in self if not member.health.readable]

    def why_none(self) -> str:
        """Why none of them can be used, for who finds none: the reason of the first that has one,
        and else what was decided."""
        for member in sorted(self, key=lambda member: not member.health.reason):
            more = f"; and {len(self) - 1} more" if len(self) > 1 else ""
            why = member.health.reason or f"it is {member.state}"
            named = why if why.startswith("backend ") else f"backend {member.name}: {why}"
            return f"{named}{more}"
        return "there is none"

    def wanted(self) -> list[Member]:
        """Members that the user wants to hold new shards, whether they can now or not."""
        return [member for member in self if member.health.decided is None]

    def writable(self) -> list[Member]:
        """Members that take records, and changes of what lies there: draining and full ones too."""
        return [member for member in self if member.health.writable]

    def taking(self, size: int = 0) -> list[Member]:
        """Members that may take a new shard of `size` bytes."""
        able = [m for m in self if m.health.takes_shards and m.holds(size)]
        return [m for m in able if m.has_room(size)]

    def recording(self, copies: int) -> list[Member]:
        """Members for new records: those that take shards, or all writable ones where these are
        fewer than `copies`."""
        taking = self.taking()
        return taking if len(taking) >= copies else self.writable()

    def remote(self) -> bool:
        """Whether some of them take REMOTE seconds or more to answer."""
        return any(member.backend.properties.latency >= REMOTE for member in self)

    def is_up(self, id_: BackendId) -> bool:
        """Whether that backend is one of ours and up."""
        member = self._by_id.get(id_)
        return member is not None and not member.down

    def adopt(self, members: list[Member]) -> None:
        """Take over what another process made of the configuration: new ones come, others go."""
        adopted: dict[BackendId, Member] = {}
        for new in members:
            known = self._by_id.get(new.id)
            if known is None or known.absent is not new.absent:
                adopted[new.id] = new
            else:
                known.configure(new)
                adopted[new.id] = known
        self._by_id = adopted
        # Those that went may be in use; those that were known come a second time, opened in vain.
        self._opened += members

    async def aclose(self) -> None:
        """Let go of every backend that was ever handed in."""
        for member in self._opened:
            await member.backend.aclose()

    def name_of(self, id_: BackendId) -> str:
        """The name of a backend, also of one that was replaced; else its UUID's first digits."""
        member = self._by_id.get(id_)
        return member.name if member else self._former.get(id_, id_.hex()[:8])

    def replace(self, old: BackendId, new: Member) -> None:
        """Put a fresh backend in the place of a lost one."""
        self._former[old] = self.name_of(old)
        self._opened.append(new)
        self._by_id = {
            (new.id if id_ == old else id_): (new if id_ == old else member)
            for id_, member in self._by_id.items()
        }

    async def look(self) -> None:
        """Read the markers of all members."""
        await self._looks.at_all(self)

    async def look_at(self, member: Member) -> None:
        """Read one member's marker, and note whether it is up."""
        await self._looks.at(member)

    async def look_again(self) -> bool:
        """Look at those that are down before their time, unless that was done just now; whether
        one is up again. For who fails without them."""
        missed = self.down()
        if not missed:
            return False
        async with self._looking:
            if trio.current_time() >= self._next_look:
                await self._looks.at_all(self.down())
                self._next_look = trio.current_time() + AGAIN
        return any(not member.down for member in missed)

    async def ask_for_room(self) -> bool:
        """Ask full ones whether they have room again; whether any may be tried."""
        full = [member for member in self if member.health.taking is Taking.FULL]
        async with trio.open_nursery() as nursery:
            for member in full:
                nursery.start_soon(self._looks.ask_for_room, member)
        return any(member.health.takes_shards for member in full)

    async def watch(self) -> None:
        """Look again at those that failed, each when that is due, for as long as this runs."""
        await self._looks.run(self)

    def note_failure(self, member: Member, error: BackendError, *, writing: bool = False) -> None:
        """A call of a member failed, one that was to change something where it was `writing`; what
        that says of it is `health`'s to tell."""
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OURS:
            return  # too many files are open here: that says nothing of the backend
        event = told_by(error, writing=writing or isinstance(error, QuotaError))
        member.errors += event is not Event.ANSWERED
        self.hear(member, event, str(error))

    def hear(
        self,
        member: Member,
        event: Event,
        why: str = "",
        *,
        began: float | None = None,
        now: float | None = None,
    ) -> None:
        """What a call that began at `began`, or whoever waits for it, tells of a member."""
        now = trio.current_time() if now is None else now
        told = member.health.after(event, now, why=why, began=began, draw=self._looks.draw())
        if told is not member.health:
            member.become(told)
            self._looks.wake()
