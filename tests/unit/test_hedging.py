"""Reads that are late are made from other shards; backends that stay slow are asked last."""

import pytest
import trio
from trio.testing import MockClock

from modelfloat.cas.buffers import BufferPool
from modelfloat.cas.packs.hedging import BURST, PAUSE
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DataLostError
from modelfloat.tests.support.farpools import MIB, FarPool, far_pool, percentile, without_threads

LATENCY = 0.05
LATE = 2 * LATENCY
"""Seconds after which a read is late, at most: here the peers' p95 is the latency."""
PAGES, QUARTER = 64 << 10, MIB // 4
SOON = LATE + LATENCY + 1e-9
"""Seconds that a hedged read takes, at most."""


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    without_threads(monkeypatch)


async def warm(far: FarPool) -> None:
    """Let the pool learn what is usual."""
    for number in range(len(far.packs)):
        for shard in range(far.packs[number][0].k):
            await far.load_shard(number, shard)


def reads(far: FarPool) -> int:
    """How many reads all backends have had."""
    return sum(backend.reads for backend in far.delayed)


async def test_where_all_is_well_only_what_is_needed_is_read(autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        for number in range(4):
            for chunk in range(4):
                assert await far.load(number, chunk * MIB) == pytest.approx(LATENCY)
        assert reads(far) == 16
        await far.load(0, MIB // 2, 3 * MIB)
        assert reads(far) == 16 + 4


@pytest.mark.parametrize("shard", [0, 3])
async def test_a_backend_that_hangs_is_decoded_round(shard: int, autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        hung = far.delayed[far.holder(far.packs[0][0], shard)]
        hung.hangs = True
        assert LATENCY < await far.load_shard(0, shard) <= SOON
        assert hung.given_up == 1
        assert not any(backend.under_way for backend in far.delayed)


async def test_a_range_over_two_shards_is_whole_though_one_hangs(autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        far.delayed[far.holder(far.packs[0][0], 1)].hangs = True
        await far.load(0, MIB // 2, 2 * MIB)


async def test_a_read_that_comes_before_its_hedge_is_taken(autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        slow = far.delayed[far.holder(far.packs[0][0], 0)]
        slow.slower = 2.2
        assert await far.load_shard(0, 0) == pytest.approx(2.2 * LATENCY)
        assert not slow.given_up
        await trio.testing.wait_all_tasks_blocked()
        assert sum(backend.given_up for backend in far.delayed) == 4


async def test_two_that_hang_are_decoded_round(autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        for shard in (0, 4):
            far.delayed[far.holder(far.packs[0][0], shard)].hangs = True
        assert await far.load_shard(0, 0) <= SOON + LATE


async def test_more_that_hang_than_parity_replaces_is_an_error_in_bounded_time(
    autojump_clock: MockClock,
) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        for shard in (0, 1, 4):
            far.delayed[far.holder(far.packs[0][0], shard)].hangs = True
        began = trio.current_time()
        with pytest.raises(DataLostError, match="3 of 6 shards are gone"):
            await far.load_shard(0, 0)
        assert trio.current_time() - began < 300
        assert await far.load_shard(0, 2) == pytest.approx(LATENCY)


async def test_one_that_hangs_for_a_while_brings_its_bytes_where_nothing_else_does(
    autojump_clock: MockClock,
) -> None:
    async with far_pool("4+0", latency=LATENCY) as far:
        await warm(far)
        far.delayed[far.holder(far.packs[0][0], 0)].slower = 100
        assert await far.load_shard(0, 0) == pytest.approx(100 * LATENCY)


@pytest.mark.parametrize("fault", ["not_found", "unavailable", "denied", "short_read"])
async def test_faults_of_a_late_read_are_faults(fault: str, autojump_clock: MockClock) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        shard = far.holder(far.packs[0][0], 0)
        far.faulty[shard].inject(fault, on=["get"], times=1)  # type: ignore[arg-type]
        assert await far.load_shard(0, 0) <= SOON


async def test_copies_take_each_others_place(autojump_clock: MockClock) -> None:
    async with far_pool("1+2", backends=3, latency=LATENCY, chunks=1) as far:
        await warm(far)
        record = far.packs[0][0]
        first = far.delayed[far.holder(record, 0)]
        first.hangs = True
        assert await far.load(0, 0) <= SOON
        first.hangs = False
        first.slower = 20
        for _ in range(20):
            await far.load(0, 0)
        seen = first.reads
        for _ in range(20):
            assert await far.load(0, 0) == pytest.approx(LATENCY)
        assert first.reads - seen <= 2


async def test_a_shard_that_is_late_beside_others_has_a_spare_asked(
    autojump_clock: MockClock,
) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        record = far.packs[0][0]
        far.members[far.holder(record, 0)].down = "for a test"
        for shard in range(1, 5):
            if far.delayed[far.holder(record, shard)].reads:
                far.delayed[far.holder(record, shard)].hangs = True
                break
        assert LATENCY < await far.load_shard(0, 0) <= SOON


async def test_where_all_shards_lie_on_one_backend_nothing_is_hedged(
    autojump_clock: MockClock,
) -> None:
    async with far_pool("4+2", backends=1, latency=LATENCY) as far:
        await warm(far)
        seen = reads(far)
        far.delayed[0].slower = 20
        for shard in range(4):
            await far.load_shard(0, shard)
        assert reads(far) == seen + 4


async def test_where_everything_becomes_slow_hedging_stops(autojump_clock: MockClock) -> None:
    async with far_pool(packs=6, latency=LATENCY) as far:
        await warm(far)
        for backend in far.delayed:
            backend.slower = 20
        seen = reads(far)
        for _ in range(5):
            await warm(far)
        assert reads(far) - seen <= 5 * 24 + 5 * BURST
        assert not any(member.latency.demoted for member in far.members)


async def test_at_first_few_hedges_are_in_vain(autojump_clock: MockClock) -> None:
    async with far_pool(packs=6, latency=LATENCY) as far:
        await warm(far)
        for backend in far.delayed:
            backend.slower = 10
        seen = reads(far)
        async with trio.open_nursery() as nursery:
            for number in range(6):
                for shard in range(4):
                    nursery.start_soon(far.load_shard, number, shard)
        # A hedge asks four, and another one for each of them that is late itself.
        assert reads(far) - seen <= 24 + 4 * 5


async def test_more_late_reads_than_may_be_hedged_take_turns(autojump_clock: MockClock) -> None:
    packs = 2 * int(BURST)
    async with far_pool(latency=LATENCY, packs=packs) as far:
        await warm(far)
        far.delayed[0].hangs = True
        held = [[far.holder(record, shard) for shard in range(4)] for record, _ in far.packs]
        late = [(number, shards.index(0)) for number, shards in enumerate(held) if 0 in shards]
        assert len(late) > BURST
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number, shard in late:
                nursery.start_soon(far.load_shard, number, shard)
        assert trio.current_time() - began < 10 * SOON


async def test_after_hedges_in_vain_a_hang_still_costs_only_a_moment(
    autojump_clock: MockClock,
) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        without_parity = await far.add_pack(Scheme(4, 0), 4)
        slow = far.holder(without_parity, 0)
        far.delayed[slow].slower = 100
        async with trio.open_nursery() as nursery:
            for _ in range(int(BURST) + 4):
                nursery.start_soon(far.load_shard, len(far.packs) - 1, 0)
        far.delayed[slow].slower = 1
        shard = next(i for i in range(4) if far.holder(far.packs[0][0], i) != slow)
        far.delayed[far.holder(far.packs[0][0], shard)].hangs = True
        assert LATENCY < await far.load_shard(0, shard) <= SOON + PAUSE


async def test_a_probe_that_fails_unexpectedly_ends_nothing_else(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with far_pool(latency=LATENCY) as far:
        await warm(far)
        record = far.packs[0][0]
        broken = far.holder(record, 0)
        far.delayed[broken].slower = 20
        while not far.members[broken].latency.demoted:
            await warm(far)

        async def fail(*_: object) -> None:
            raise RuntimeError("a mistake in a backend")

        monkeypatch.setattr(far.delayed[broken], "get_into", fail)
        await trio.sleep(60)
        assert await far.load_shard(0, 1) <= SOON
        await trio.sleep(1)
        assert await far.load_shard(0, 2) <= SOON
    assert "a probe of backend" in caplog.text


async def test_one_that_is_twenty_times_slower_is_demoted_and_comes_back(
    autojump_clock: MockClock,
) -> None:
    async with far_pool(packs=8, latency=LATENCY, jitter=0.2) as far:
        await far.read_around(5, size=PAGES)
        slow, member = far.delayed[2], far.members[2]
        slow.slower = 20
        await far.read_around(5, size=PAGES)
        assert member.latency.demoted
        assert [m.name for m in far.members if m.latency.demoted] == ["d2"]
        seen = slow.reads
        await far.read_around(20, size=PAGES)
        assert slow.reads - seen <= 6  # probes
        slow.slower = 1
        await far.read_around(40, size=PAGES)
        assert not member.latency.demoted
        seen = slow.reads
        await far.read_around(5, size=PAGES)
        assert slow.reads - seen > 5


async def test_what_a_slow_backend_costs(autojump_clock: MockClock) -> None:
    """As the read path promises it: p99 at most 1.5 times the healthy one's from the fifth second
    on, and until then at most the time after which a read is late and two healthy ones."""
    delay = {"packs": 8, "latency": 0.01, "rate": 50e6, "jitter": 0.3}
    async with far_pool(**delay) as far:
        healthy = [took for _, took in await far.read_around(12, size=QUARTER)]
    async with far_pool(**delay) as far:
        far.delayed[1].slower = 20
        slow = await far.read_around(12, seed=1, size=QUARTER)
    usual, late = percentile(healthy, 0.99), percentile(healthy, 0.95)
    before = [took for began, took in slow if began < 5]
    after = [took for began, took in slow if began >= 5]
    assert percentile(before, 0.99) <= late + 2 * usual
    assert percentile(after, 0.99) <= 1.5 * usual


async def test_loads_over_two_packs_keep_every_backend_busy(autojump_clock: MockClock) -> None:
    async with far_pool(packs=2, chunks=16, latency=LATENCY, rate=50e6) as far:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(2):
                for offset in range(0, 16 * MIB, 4 * MIB):
                    nursery.start_soon(far.load, number, offset, 4 * MIB)
        # As long as one alone takes: none waits for another.
        assert trio.current_time() - began == pytest.approx(LATENCY + 4 * MIB / 50e6)
        held = {b for record, _ in far.packs for b in record.backends[: record.k]}
        assert sum(bool(backend.most) for backend in far.delayed) == len(held)


async def whole(far: FarPool, number: int) -> float:
    """Load a pack whole, and compare it; how long that took."""
    record, data = far.packs[number]
    began, out = trio.current_time(), memoryview(bytearray(record.k * record.shard))
    await far.pool.load_whole(record, out, BufferPool(record.shard, 2))
    took = trio.current_time() - began
    assert out[: len(data)] == data
    return took


@pytest.mark.parametrize("lost", [(), (0,), (1, 3), (0, 5)])
async def test_a_pack_is_loaded_whole_over_several_connections(
    lost: tuple[int, ...], autojump_clock: MockClock
) -> None:
    async with far_pool(packs=1, chunks=36, latency=LATENCY, rate=50e6) as far:
        for shard in lost:
            far.members[far.holder(far.packs[0][0], shard)].down = "for a test"
        assert await whole(far, 0) == pytest.approx(LATENCY + 4 * MIB / 50e6)


async def test_a_pack_that_cannot_be_had_whole_soon_is_left(autojump_clock: MockClock) -> None:
    async with far_pool(packs=1, latency=LATENCY) as far:
        far.delayed[far.holder(far.packs[0][0], 2)].hangs = True
        with pytest.raises(DataLostError):
            await whole(far, 0)
        assert trio.current_time() < 10
        far.members[far.holder(far.packs[0][0], 2)].down = "for a test"
        assert await whole(far, 0) == pytest.approx(LATENCY)
