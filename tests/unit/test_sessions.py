"""Sessions: told on backends that can be written to, as soon as there is one."""

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import session_key, site_key
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.lease.landing import LANDS
from modelfloat.cas.lease.sessions import RENEWALS, SOON, TERM, open_session
from modelfloat.cas.lease.signs import CLEANUP
from modelfloat.cas.lease.sites import look
from modelfloat.cas.packs.health import State
from modelfloat.cas.packs.members import Member, Members
from modelfloat.errors import QuotaError
from modelfloat.ids import BackendId, SiteId, StoreId, WriterId
from modelfloat.tests.support.late import TAKES, LateBackend
from modelfloat.tests.support.samples import STORE

SITE, WRITER = SiteId(b"s" * 16), WriterId(b"w" * 16)


def three() -> tuple[Members, list[FaultyBackend]]:
    """Members of a store, and their backends."""
    faulty = [FaultyBackend(MemoryBackend(f"d{i}")) for i in range(3)]
    members = [
        Member(BackendId(bytes([i]) * 16), each.name, each, each.name, 1.0)
        for i, each in enumerate(faulty)
    ]
    return Members(StoreId(STORE), members), faulty


def late(server: trio.Nursery) -> Members:
    """Members whose backends carry puts out in their own time."""
    members, faulty = three()
    for member, each in zip(members, faulty, strict=True):
        member.backend = LateBackend(each, server)
    return members


async def records(members: Members) -> int:
    keys = [listed.key for m in members async for listed in m.backend.list("sessions/")]
    assert set(keys) <= {session_key(WRITER)}
    return len(keys)


async def test_with_no_backend_up_it_is_told_later(autojump_clock: MockClock) -> None:
    """Who mends the marker of the only backend has none to begin with."""
    members, _ = three()
    for member in members:
        member.down = "away"
    async with open_session(members, SITE, WRITER, 0, 2) as session:
        assert session.lapsed
        assert await records(members) == 0
        for member in members:
            member.down = ""
        await trio.sleep(SOON)
        await trio.testing.wait_all_tasks_blocked()
        assert not session.lapsed
        assert await records(members) == 2
        await trio.sleep(3 * TERM)
        assert not session.lapsed
    assert await records(members) == 0


async def test_where_all_are_full_a_repair_is_told_later_and_an_add_not_begun(
    autojump_clock: MockClock,
) -> None:
    members, faulty = three()
    for backend in faulty:
        backend.inject("full", on=["put"])
    with pytest.raises(QuotaError):
        async with open_session(members, SITE, WRITER, 0, 2):
            raise AssertionError("nothing may be stored now")
    async with open_session(members, SITE, WRITER, 0, 2, may_wait=True) as session:
        assert session.lapsed
        for backend in faulty:
            backend.clear()
        await trio.sleep(SOON)
        await trio.testing.wait_all_tasks_blocked()
        assert not session.lapsed
        assert await records(members) == 2
    assert await records(members) == 0


async def test_what_is_read_only_is_told_of_no_site(autojump_clock: MockClock) -> None:
    """A put that it refuses is no failure: it would count as down after a few adds."""
    members, faulty = three()
    first = members.get(BackendId(bytes(16)))
    assert first is not None
    denied = faulty[0].inject("denied", on=["put"])
    for _ in range(5):
        await look(members, SITE)
    assert denied.struck == 1
    assert first.state is State.READ_ONLY
    assert await faulty[1].head(site_key(SITE))


@pytest.mark.parametrize("lasts", [TERM / RENEWALS + TAKES, 0])
async def test_no_put_that_is_on_its_way_at_the_end_brings_a_record_back(
    lasts: float, autojump_clock: MockClock
) -> None:
    """Neither the first one's, of who is interrupted then, nor a renewal's."""
    async with trio.open_nursery() as server:
        members = late(server)
        with trio.move_on_after(lasts + TAKES / 2):
            async with open_session(members, SITE, WRITER, 0, 2):
                await trio.sleep_forever()
        await trio.sleep(3 * TAKES)
        assert await records(members) == 0


async def test_a_put_that_hangs_at_the_end_is_given_up(autojump_clock: MockClock) -> None:
    members, faulty = three()
    for backend in faulty:
        backend.inject("hang", on=["put"])
    begun = trio.current_time()
    with trio.move_on_after(1):
        async with open_session(members, SITE, WRITER, 0, 2):
            raise AssertionError("nobody was told")
    assert trio.current_time() - begun < 1 + LANDS + CLEANUP
