"""Puts to a backend that stops answering: given up once that is known, not minutes later."""

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.marker import Marker, MarkerBackend, write_marker
from modelfloat.cas.formats.journal import NOWHERE
from modelfloat.cas.packs.storing import PATIENCE
from modelfloat.erasure.scheme import Scheme
from modelfloat.tests.support import samples
from modelfloat.tests.support.farpools import FarPool, far_pool, without_threads

SCHEME = Scheme(4, 2)


async def mark(far: FarPool) -> None:
    """Write the markers that looks read."""
    entries = tuple(MarkerBackend(m.id, m.name, "memory://", m.domain) for m in far.members)
    for member in far.members:
        marker = Marker(samples.STORE, member.id, member.name, "4+2", entries)
        await write_marker(member.backend, marker, new=True)


async def test_a_shard_goes_elsewhere_when_its_backend_hangs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch)
    async with far_pool(packs=0, backends=7) as far:
        await mark(far)
        whole = await far.add_pack(SCHEME, 1)
        struck = far.holder(whole, 0)
        far.faulty[struck].inject("hang")
        began = trio.current_time()
        for _ in range(4):
            record = await far.add_pack(SCHEME, 1)
            assert NOWHERE not in record.backends
            assert far.members[struck].id not in record.backends
        assert far.members[struck].down
        assert trio.current_time() - began < 3 * PATIENCE


async def test_a_slow_one_that_answers_is_waited_for(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload over a thin line takes minutes, and its backend shows its marker all the while."""
    without_threads(monkeypatch)
    async with far_pool(packs=0) as far:
        await mark(far)
        far.faulty[0].inject("slow", on=["put"], seconds=3 * PATIENCE)
        record = await far.add_pack(SCHEME, 1)
        assert NOWHERE not in record.backends
        assert len(set(record.backends)) == 6
        assert not far.members[0].down
