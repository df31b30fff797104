"""The space of a store: disks counted once, parity taken off, hanging backends left out."""

from dataclasses import dataclass

import trio
from trio.testing import MockClock

from modelfloat.backends.base import Properties, Usage
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.packs.health import Health, State
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.room import DEADLINE, Room, room_of
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UnavailableError
from modelfloat.ids import StoreId, random_backend_id


@dataclass
class Place:
    """A backend of which only the space is asked."""

    free: int | None
    total: int | None
    space: str = ""
    hangs: bool = False
    fails: bool = False
    name: str = "d"

    async def usage(self) -> Usage:
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.fails:
            raise UnavailableError("backend d is away", backend="d")
        return Usage(self.free, self.total, self.space)

    @property
    def properties(self) -> Properties:
        return MemoryBackend("d").properties


def members(*places: tuple[str, Place]) -> Members:
    found = [
        Member(random_backend_id(), f"d{i}", place, domain, 1.0)  # type: ignore[arg-type]
        for i, (domain, place) in enumerate(places)
    ]
    return Members(StoreId(bytes(16)), found)


async def test_a_disk_counts_once_and_parity_is_taken_off() -> None:
    six = members(*(("disk", Place(600, 6000, "dev:1")) for _ in range(6)))
    assert await room_of(six, Scheme(4, 2)) == Room(4000, 400)
    two = members(("a", Place(600, 6000)), ("b", Place(300, 6000)))
    assert await room_of(two, Scheme(1, 1)) == Room(6000, 450)


async def test_what_is_down_fails_hangs_or_does_not_know_is_left_out(
    autojump_clock: MockClock,
) -> None:
    broken = Place(1, 10**6, fails=True)
    found = members(
        ("a", Place(600, 6000)),
        ("b", Place(1, 10**6, hangs=True)),
        ("c", broken),
        ("d", Place(None, None)),
        ("e", Place(1, 10**6)),
    )
    down = list(found)[4]
    down.down = "it is away"
    before = trio.current_time()
    assert await room_of(found, Scheme(1, 0)) == Room(6000, 600)
    assert trio.current_time() - before == DEADLINE
    assert [m.name for m in found if m.state is not State.UP] == ["d2", "d4"]


async def test_nobody_tells() -> None:
    assert await room_of(members(("d", Place(None, None))), Scheme(1, 0)) is None
    assert await room_of(members(), Scheme(1, 0)) is None


async def test_what_gets_nothing_more_has_no_free_space() -> None:
    three = members(*((name, Place(600, 1000)) for name in "abc"))
    list(three)[2].become(Health().decide(State.DRAINING, 0))
    assert await room_of(three, Scheme(1, 0)) == Room(2400, 1200)
    # What shares its disk may fill it.
    shared = members(*((name, Place(600, 1000, "dev:1")) for name in "ab"))
    next(iter(shared)).become(Health().decide(State.READ_ONLY, 0))
    assert await room_of(shared, Scheme(1, 0)) == Room(1000, 600)
    alone = members(("a", Place(None, None)), ("b", Place(600, 1000)))
    next(iter(alone)).become(Health().decide(State.DRAINING, 0))
    assert await room_of(alone, Scheme(1, 0)) == Room(1000, 600)
