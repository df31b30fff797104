"""Backends that went and came back: who fails without them looks before that is due."""

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.marker import Marker, MarkerBackend, write_marker
from modelfloat.cas.packs.health import LAST
from modelfloat.cas.packs.looks import LOOK_LIMIT
from modelfloat.cas.packs.members import AGAIN
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DataLostError, UnavailableError
from modelfloat.tests.support import samples
from modelfloat.tests.support.farpools import MIB, FarPool, far_pool, without_threads


async def gone_for_long(far: FarPool, count: int) -> None:
    """Let so many backends be away until their next look is far off."""
    entries = tuple(MarkerBackend(m.id, m.name, "memory://", m.domain) for m in far.members)
    for number, member in enumerate(far.members):
        marker = Marker(samples.STORE, member.id, member.name, "4+2", entries)
        await write_marker(member.backend, marker, new=True)
        if number < count:
            far.faulty[number].inject("unavailable")
            while member.health.pause < LAST:
                await far.pool.members.look_at(member)


async def test_a_read_finds_what_is_there_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    async with far_pool(packs=1) as far:
        await gone_for_long(far, 3)
        began = trio.current_time()
        with pytest.raises(DataLostError):
            await far.load(0, 0, 4 * MIB)
        for backend in far.faulty:
            backend.clear()
        await trio.sleep(AGAIN)
        async with trio.open_nursery() as nursery:
            for chunk in range(4):
                nursery.start_soon(far.load, 0, chunk * MIB)
        assert trio.current_time() - began < LAST / 2
        assert not far.pool.members.down()


async def test_a_pack_finds_what_is_there_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    async with far_pool(packs=0) as far:
        await gone_for_long(far, 4)
        with pytest.raises(UnavailableError, match="d0, d1, d2, d3 down"):
            await far.add_pack(Scheme(4, 2), 1)
        for backend in far.faulty:
            backend.clear()
        await trio.sleep(AGAIN)
        record = await far.add_pack(Scheme(4, 2), 1)
        assert len(set(record.backends)) == 6


async def test_reads_that_fail_wait_for_one_look_only(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    async with far_pool(packs=1) as far:
        await gone_for_long(far, 3)
        for backend in far.faulty[:3]:
            backend.clear()
            backend.inject("hang")
        began = trio.current_time()
        for _ in range(20):
            with pytest.raises(DataLostError):
                await far.load(0, 0, 4 * MIB)
        assert trio.current_time() - began < LOOK_LIMIT + 1
