"""The backends of a store as its pool sees them: who is there, who is down, and why.

Concurrency: states change in the event loop only, between awaits.
"""

import errno
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.marker import check_marker
from ...errors import BackendError, FormatError, MarkerError, UnavailableError
from ...ids import BackendId, StoreId
from .latency import Latency
from .placement import Candidate

PROBE_AFTER: Final = 5.0
"""Seconds after which a backend that was down is looked at again."""
REMOTE: Final = 0.005
"""A backend that takes at least so many seconds to answer is remote; what a nearer one holds is had
as soon as a copy of it."""
LOOK_LIMIT: Final = 5.0
"""Seconds that a backend has to show its marker before it counts as down."""
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Member:
    """One backend of the store. `down` says why it is not used, "" while it is; `latency` what is
    known of its reads.

    `capacity` is how many bytes of shards it may hold, None where only its space limits them, and
    `used` how many it does: counted only where some member has a capacity (`cas.capacity`).
    """

    id: BackendId
    name: str
    backend: Backend
    domain: str
    weight: float
    down: str = ""
    looked: float = field(default=-1e9)
    latency: Latency = field(default_factory=Latency, compare=False)
    capacity: int | None = None
    used: int = 0

    @property
    def candidate(self) -> Candidate:
        """This member as placement sees it."""
        return Candidate(self.id, self.domain, self.weight)

    @property
    def left(self) -> int | None:
        """Bytes of shards that it may still take, None where only its space limits them."""
        return None if self.capacity is None else max(0, self.capacity - self.used)

    def has_room(self, size: int) -> bool:
        """Whether its capacity leaves `size` bytes more."""
        return self.left is None or size <= self.left


class Members:
    """All members, by UUID."""

    def __init__(self, store: StoreId, members: list[Member]) -> None:
        self._store = store
        self._by_id = {member.id: member for member in members}
        self._opened = list(members)
        self._former: dict[BackendId, str] = {}
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
        """Members that answer and carry our marker."""
        return [member for member in self if not member.down]

    def taking(self, size: int) -> list[Member]:
        """Members that are up and may take a shard of `size` bytes."""
        return [member for member in self.up() if member.has_room(size)]

    def down(self) -> list[Member]:
        """Members that do not."""
        return [member for member in self if member.down]

    def remote(self) -> bool:
        """Whether some of them take REMOTE seconds or more to answer."""
        return any(member.backend.properties.latency >= REMOTE for member in self)

    def is_up(self, id_: BackendId) -> bool:
        """Whether that backend is one of ours and up."""
        member = self._by_id.get(id_)
        return member is not None and not member.down

    def adopt(self, members: list[Member]) -> None:
        """Take over what another process made of the configuration: new ones come, others go."""
        for member in members:
            if known := self._by_id.get(member.id):
                known.weight, known.capacity = member.weight, member.capacity
        self._by_id = {m.id: self._by_id.get(m.id, m) for m in members}
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

    async def look(self, *, again: bool = False) -> None:
        """Read the markers of all members, or with `again` of those down for a while."""
        now = trio.current_time()
        async with trio.open_nursery() as nursery:
            for member in self:
                if not again or (member.down and now - member.looked > PROBE_AFTER):
                    nursery.start_soon(self.look_at, member)

    async def look_at(self, member: Member) -> None:
        """Read one member's marker, and note whether it is up."""
        member.looked = trio.current_time()
        problem = f"backend {member.name} did not answer within {LOOK_LIMIT:g} s"
        with trio.move_on_after(LOOK_LIMIT):
            try:
                await check_marker(member.backend, self._store, member.id)
                problem = ""
            except (BackendError, FormatError) as error:
                problem = str(error)
        if problem and not member.down:
            _tell(member, problem)
        elif member.down and not problem:
            log.info("backend %s is up again", member.name)
        member.down = problem

    def note_failure(self, member: Member, error: BackendError) -> None:
        """Take a member out of use after an error that says it is not there at all."""
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OURS:
            return  # too many files are open here: that says nothing of the backend
        if isinstance(error, UnavailableError | MarkerError) and not member.down:
            member.down = str(error)
            member.looked = trio.current_time()
            _tell(member, str(error))


def _tell(member: Member, why: str) -> None:
    why = why.removeprefix(f"backend {member.name}: ").removeprefix(f"backend {member.name} ")
    log.warning("backend %s counts as down: %s", member.name, why)
