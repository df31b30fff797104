"""Backends looked at again: soon after a failure, then after longer and longer pauses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.marker import Marker, MarkerBackend, write_marker
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.packs.health import FIRST, LAST, ROOM_FIRST, Event, State
from modelfloat.cas.packs.looks import LOOK_LIMIT, Looks
from modelfloat.cas.packs.members import Member, Members
from modelfloat.errors import DeniedError, QuotaError, UnavailableError
from modelfloat.ids import BackendId, StoreId

STORE = StoreId(b"s" * 16)


class Two:
    """Two marked backends that can be made to fail, as members."""

    def __init__(self) -> None:
        self.faulty = [FaultyBackend(MemoryBackend(f"d{i}")) for i in range(2)]
        ids = [BackendId(bytes([i]) * 16) for i in range(2)]
        self.members = Members(
            STORE,
            [
                Member(id_, each.name, each, each.name, 1.0)
                for id_, each in zip(ids, self.faulty, strict=True)
            ],
        )
        self.first, self.second = self.members

    async def mark(self) -> None:
        """Write their markers."""
        entries = tuple(MarkerBackend(m.id, m.name, "memory://", m.domain) for m in self.members)
        for member in self.members:
            marker = Marker(STORE, member.id, member.name, "1+1", entries)
            await write_marker(member.backend, marker, new=True)


@asynccontextmanager
async def watched() -> AsyncIterator[Two]:
    two = Two()
    await two.mark()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.members.watch)
        await trio.testing.wait_all_tasks_blocked()
        yield two
        nursery.cancel_scope.cancel()


def failure(member: Member) -> UnavailableError:
    return UnavailableError(f"backend {member.name}: reset", backend=member.name)


async def test_one_failure_of_a_sound_backend_is_forgotten_at_once(
    autojump_clock: MockClock,
) -> None:
    async with watched() as two:
        began = trio.current_time()
        two.members.note_failure(two.first, failure(two.first))
        assert two.first.state is State.SUSPECT
        assert two.first.doubtful
        assert not two.first.down
        await trio.testing.wait_all_tasks_blocked()
        assert two.first.state is State.UP
        assert trio.current_time() == began
        assert two.first.errors == 1


async def test_what_does_not_answer_is_down_and_comes_back(autojump_clock: MockClock) -> None:
    async with watched() as two:
        fault = two.faulty[0].inject("unavailable")
        two.members.note_failure(two.first, failure(two.first))
        await trio.testing.wait_all_tasks_blocked()
        assert two.first.state is State.DOWN
        assert "injected fault unavailable" in two.first.down
        await trio.sleep(600)
        # The first look, after pauses up to 1, 2, 4, 8 and 16 s, then one in 15 to 30 s.
        looks = 600 / LAST
        assert looks <= fault.struck <= 2 * looks + 6
        two.faulty[0].clear()
        await trio.sleep(LAST)
        assert two.first.state is State.UP
        assert two.second.state is State.UP


async def test_one_that_hangs_holds_up_no_other(autojump_clock: MockClock) -> None:
    async with watched() as two:
        two.faulty[0].inject("hang")
        two.members.hear(two.first, Event.LATE, "it takes long")
        two.members.note_failure(two.second, failure(two.second))
        await trio.testing.wait_all_tasks_blocked()
        assert (two.first.state, two.second.state) == (State.UP, State.UP)
        await trio.sleep(LOOK_LIMIT + 0.1)
        assert two.first.down == "backend d0 did not answer within 5 s"
        two.faulty[0].clear()
        await trio.sleep(2 * FIRST + LOOK_LIMIT)
        assert two.first.state is State.UP


async def test_looks_at_all_take_as_long_as_one(autojump_clock: MockClock) -> None:
    two = Two()
    for each in two.faulty:
        each.inject("hang")
    began = trio.current_time()
    await two.members.look()
    assert trio.current_time() - began == LOOK_LIMIT
    assert len(two.members.down()) == 2


@pytest.mark.parametrize("write", [QuotaError("no space"), DeniedError("denied")])
async def test_one_that_takes_nothing_gets_shards_again_later(
    write: QuotaError | DeniedError, autojump_clock: MockClock
) -> None:
    async with watched() as two:
        two.members.note_failure(two.first, write, writing=True)
        full = isinstance(write, QuotaError)
        assert two.first.state is (State.FULL if full else State.READ_ONLY)
        assert two.members.up() == [two.first, two.second]
        assert two.members.taking() == [two.second]
        assert two.members.writable() == ([two.first, two.second] if full else [two.second])
        await trio.sleep(ROOM_FIRST + 1)
        assert two.members.taking() == [two.first, two.second]


async def test_records_go_to_full_backends_where_there_are_no_others() -> None:
    two = Two()
    two.members.note_failure(two.first, QuotaError("no space"), writing=True)
    assert two.members.recording(1) == [two.second]
    assert two.members.recording(2) == [two.first, two.second]


async def test_what_the_configuration_decides_is_taken_over() -> None:
    two = Two()
    backend = MemoryBackend("d0")
    new = Member(two.first.id, "d0", backend, "d0", 2.0, State.DRAINING)
    two.members.adopt([new, two.second])
    assert (two.first.state, two.first.weight) == (State.DRAINING, 2.0)
    assert two.members.taking() == [two.second]
    two.members.adopt([Member(two.first.id, "d0", backend, "d0", 2.0), two.second])
    assert two.first.state is State.UP


async def test_what_is_due_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    moments: list[float] = []
    problem = Looks._problem

    async def noted(looks: Looks, member: Member) -> str:
        moments.append(trio.current_time())
        return await problem(looks, member)

    monkeypatch.setattr(Looks, "_problem", noted)
    async with watched() as two:
        two.faulty[0].inject("unavailable")
        two.members.note_failure(two.first, failure(two.first))
        await trio.sleep(20 * LAST)
    assert len(moments) > 20
    assert len(set(moments)) == len(moments)
