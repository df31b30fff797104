"""Backends that hang, lie, answer short or late, or go and come back: bytes that verify, or an
error in bounded time. On a clock that jumps."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.faulty import Name
from modelfloat.cas.packs.health import LAST, State
from modelfloat.cas.packs.looks import LOOK_LIMIT
from modelfloat.errors import DataLostError, UnavailableError
from modelfloat.tests.support.farpools import without_threads
from modelfloat.tests.support.farstores import far_store, make

BOUND = 600.0
"""Seconds within which every read ends: a few deadlines of backends."""
MOMENT = 3.0
"""Seconds that hedging may cost while nothing is known of any backend yet."""


@pytest.fixture
def data(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What the store holds; its scheme is the test's, or 4+2."""
    data = make(tmp_path, getattr(request, "param", "4+2"))
    without_threads(monkeypatch)
    return data


@pytest.mark.parametrize("shards", [(3,), (0, 1), (2, 5)])
async def test_backends_that_hang_cost_a_moment(
    tmp_path: Path, data: bytes, shards: tuple[int, ...], autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        for shard in shards:
            far.holder(shard).delayed.hangs = True
        assert await far.read() < MOMENT


async def test_one_that_hangs_is_down_soon_and_asked_no_more(
    tmp_path: Path, data: bytes, autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        hung = far.holder(0)
        reads = hung.faulty.inject("hang", on=["get"], prefix="packs/")
        hung.faulty.inject("hang")
        for _ in range(4):
            await far.read()
        await trio.sleep(LOOK_LIMIT + 1)
        assert hung.member.state is State.DOWN
        assert "did not answer" in hung.member.down
        asked = reads.struck
        assert await far.read() < MOMENT
        assert reads.struck == asked


async def test_too_many_that_hang_are_an_error_and_well_when_they_come_back(
    tmp_path: Path, data: bytes, autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        hung = [far.holder(shard) for shard in (0, 1, 2)]
        for each in hung:
            each.delayed.hangs = True
        began = trio.current_time()
        with pytest.raises(ExceptionGroup) as told:
            await far.read()
        assert told.group_contains(DataLostError)
        assert trio.current_time() - began < BOUND
        for each in hung:
            each.delayed.hangs = False
        await trio.sleep(2 * LAST)
        assert await far.read() < MOMENT


@pytest.mark.parametrize("name", ["unavailable", "not_found", "denied", "short_read", "flip_bit"])
async def test_backends_that_fail_or_lie(
    tmp_path: Path, data: bytes, name: Name, autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        for shard in (0, 1):
            far.holder(shard).faulty.inject(name, on=["get"], prefix="packs/")
        assert await far.read() < MOMENT


async def test_one_that_answers_with_an_error_page(
    tmp_path: Path, data: bytes, autojump_clock: MockClock
) -> None:
    page = b"<html><body>503 Slow Down</body></html>"
    async with far_store(tmp_path, data) as far:
        far.holder(1).delayed.answers = page
        assert await far.read() < MOMENT
        assert await far.read() < MOMENT


async def test_one_that_goes_in_mid_read_and_comes_back(
    tmp_path: Path, data: bytes, autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        going = far.holder(2)
        going.delayed.slower = 10

        async def go() -> None:
            await trio.sleep(0.1)
            going.faulty.inject("unavailable")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(go)
            assert await far.read() < MOMENT
        assert await far.read() < MOMENT
        going.faulty.clear()
        going.delayed.slower = 1
        await trio.sleep(2 * LAST)
        assert not going.member.down
        seen = going.delayed.reads
        assert await far.read() < MOMENT
        assert going.delayed.reads > seen


@pytest.mark.parametrize("data", ["1+2"], indirect=True)
@pytest.mark.parametrize("hung", [1, 2])
async def test_copies(tmp_path: Path, data: bytes, hung: int, autojump_clock: MockClock) -> None:
    async with far_store(tmp_path, data) as far:
        for each in far.far[:hung]:
            each.delayed.hangs = True
        assert await far.read() < MOMENT


@pytest.mark.parametrize("data", ["4+0"], indirect=True)
async def test_without_parity_one_that_hangs_is_an_error_in_bounded_time(
    tmp_path: Path, data: bytes, autojump_clock: MockClock
) -> None:
    async with far_store(tmp_path, data) as far:
        far.holder(1).delayed.hangs = True
        began = trio.current_time()
        with pytest.raises(ExceptionGroup) as told:
            await far.read()
        assert told.group_contains((DataLostError, UnavailableError))
        assert trio.current_time() - began < BOUND
