"""Reads that wait: told in the log once a minute, counted always, seen while they wait."""

import logging

import pytest
import trio

from modelfloat.fuse import files, slowreads
from modelfloat.fuse.files import LONGEST
from modelfloat.fuse.handles import Handle
from modelfloat.fuse.operations import Operations
from modelfloat.fuse.slowreads import QUIET
from modelfloat.tests.support.shelf import KnownFile, Shelf
from modelfloat.tests.support.walking import LOOK, Kernel

CONTENT = b"content"


pytestmark = pytest.mark.usefixtures("same_time")


@pytest.fixture
def same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' time is that of reads too."""
    for module in slowreads, files:
        monkeypatch.setattr(module, "clock", lambda: int(trio.current_time() * 1e9))


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each of the next reads takes, seconds; after them none takes any time."""
    found: list[float] = []
    plain = KnownFile.read

    async def read(self: KnownFile, offset: int, size: int) -> memoryview | bytes:
        await trio.sleep(found.pop(0) if found else 0.0)
        return await plain(self, offset, size)

    monkeypatch.setattr(KnownFile, "read", read)
    return found


async def opened(shelf: Shelf, slow: float) -> tuple[Operations, Handle]:
    shelf.commit("acme/llama", {"v": CONTENT})
    operations = Operations(shelf, LOOK, slow=slow)
    return operations, await operations.open(await Kernel(operations).inode("acme/llama/v"), 0, 1)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    caplog.clear()
    return found


async def test_a_slow_read_is_told(
    autojump_clock: object, shelf: Shelf, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    operations, file = await opened(shelf, 2.0)
    delays += [1.9, 2.1]
    await operations.read(file, 0, 7)
    assert (lines(caplog), shelf.counters.slow) == ([], 0)
    await operations.read(file, 3, 4)
    (line,) = lines(caplog)
    assert "a read of 4 bytes at 3 of acme/llama/v (pid 1) takes 2.1 s; `modelfloat" in line
    assert shelf.counters.slow == 1


async def test_a_short_read_is_told_in_milliseconds(
    autojump_clock: object, shelf: Shelf, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    operations, file = await opened(shelf, 0.001)
    delays += [0.0123]
    await operations.read(file, 0, 7)
    (line,) = lines(caplog)
    assert "takes 12.3 ms; " in line


async def test_slow_reads_do_not_fill_the_log(
    autojump_clock: object, shelf: Shelf, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    operations, file = await opened(shelf, 2.0)
    delays += [3.0] * 4 + [QUIET]
    for _ in range(4):
        await operations.read(file, 0, 7)
    assert len(lines(caplog)) == 1
    assert shelf.counters.slow == 4
    await operations.read(file, 0, 7)
    (line,) = lines(caplog)
    assert ", 3 others before it; " in line


async def test_a_read_that_does_not_end_is_told_while_it_waits(
    autojump_clock: object,
    shelf: Shelf,
    delays: list[float],
    caplog: pytest.LogCaptureFixture,
    nursery: trio.Nursery,
) -> None:
    operations, file = await opened(shelf, 2.0)
    delays += [1e9]
    nursery.start_soon(operations.slow.watch)
    nursery.start_soon(operations.read, file, 0, 7)
    await trio.sleep(10)
    (line,) = lines(caplog)
    assert "of acme/llama/v (pid 1) takes 2.0 s" in line
    state = operations.reads()
    assert (state.waiting, state.longest_ns, state.figures.counts.slow) == (
        1,
        pytest.approx(10**10),
        1,
    )
    nursery.cancel_scope.cancel()
    await trio.lowlevel.checkpoint_if_cancelled()


async def test_who_does_not_want_to_know_is_told_nothing(
    autojump_clock: object, shelf: Shelf, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    operations, file = await opened(shelf, 0.0)
    delays += [LONGEST - 1]
    await operations.slow.watch()
    await operations.read(file, 0, 7)
    assert (lines(caplog), shelf.counters.slow, len(operations.slow)) == ([], 0, 0)


async def test_the_time_until_we_came_to_it_counts(
    autojump_clock: object, shelf: Shelf, delays: list[float]
) -> None:
    operations, file = await opened(shelf, 2.0)
    came = int(trio.current_time() * 1e9)
    await trio.sleep(5)
    delays += [1.0]
    await operations.read(file, 0, 7, came)
    assert shelf.counters.latency.longest_ns == pytest.approx(6 * 10**9)
    assert shelf.counters.slow == 1


async def test_a_read_that_was_given_up_waits_no_more(
    autojump_clock: object, shelf: Shelf, delays: list[float]
) -> None:
    operations, file = await opened(shelf, 2.0)
    delays += [LONGEST - 1]
    with trio.move_on_after(1):
        await operations.read(file, 0, 7)
    assert (len(operations.slow), operations.slow.longest_ns) == (0, 0)
    assert (shelf.counters.requests, shelf.counters.failed) == (0, 0)
