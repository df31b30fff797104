"""Threads that load what they read: who loads a chunk, once, and what is left to the event loop."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from modelfloat.cas.packs.direct import Asked
from modelfloat.cas.read import claims as claims_module
from modelfloat.cas.read import readahead
from modelfloat.cas.read.cache import Loaded
from modelfloat.cas.read.claims import LOADERS
from modelfloat.cas.read.filereader import FileReader
from modelfloat.cas.read.flight import Claim, Flight
from modelfloat.cas.read.ownloads import AHEAD, CAREFUL
from modelfloat.fuse.kernel_binding import THREADS
from modelfloat.ids import ChunkId
from modelfloat.tests.support.countingloader import (
    CHUNK,
    CountingLoader,
    chunk_id,
    make_reader,
    manifest,
)

CHUNKS = 600


class NearLoader(CountingLoader):
    """As from disks at hand: threads may load too, and may be made to fail or to hang."""

    def __init__(self) -> None:
        super().__init__()
        self.at_hand = True
        self.by_threads: list[ChunkId] = []
        self.broken: set[ChunkId] = set()
        self.mistake: Exception | None = None
        self.hanging = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.given_up: list[Asked] = []

    def load_now(self, ids: Sequence[ChunkId], asked: Asked) -> dict[ChunkId, Loaded]:
        self.by_threads += ids
        if not self.free.is_set():
            self.hanging.set()
            assert self.free.wait(60)
        if self.mistake is not None:
            raise self.mistake
        memory = memoryview(bytearray(len(ids) * CHUNK))
        found = {id_: Loaded(memory, at * CHUNK, CHUNK) for at, id_ in enumerate(ids)}
        for id_, loaded in found.items():
            loaded.data[:8] = id_[:8]
        return {id_: loaded for id_, loaded in found.items() if id_ not in self.broken}

    def give_up(self, asked: Asked) -> None:
        self.at_hand = False
        self.given_up.append(asked)


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> Iterator[NearLoader]:
    # However slow the machine is that runs this.
    monkeypatch.setattr(readahead, "LONG", math.inf)
    loader = NearLoader()
    yield loader
    loader.free.set()


class Threads:
    """Reads a file as the threads of a mount do, and counts what came to the event loop."""

    def __init__(self, file: FileReader) -> None:
        self._file = file
        self._token = trio.lowlevel.current_trio_token()
        self.left = 0

    def soon(self, job: Callable[[], object]) -> None:
        self._token.run_sync_soon(job)

    def _read(self, number: int) -> bytes | None:
        parts = self._file.at_once(number * CHUNK, CHUNK, self.soon)
        if parts is None:
            return None
        self._file.go_on(self.soon)
        return b"".join(parts)

    async def read(self, number: int) -> None:
        """A chunk, which has to be the right one."""
        data: bytes | memoryview | None = await trio.to_thread.run_sync(self._read, number)
        if data is None:
            self.left += 1
            data = await self._file.read(number * CHUNK, CHUNK)
        assert data[:8] == chunk_id(1, number)[:8]
        await wait_all_tasks_blocked()

    async def reads(self, numbers: range) -> None:
        for number in numbers:
            await self.read(number)


def test_a_mount_has_a_thread_that_does_not_load() -> None:
    assert LOADERS < THREADS


async def test_each_chunk_is_loaded_once_most_by_threads(
    nursery: trio.Nursery, near: NearLoader
) -> None:
    reader = make_reader(nursery, near)
    threads = Threads(reader.open(manifest(1, CHUNKS)))
    await threads.reads(range(CHUNKS))
    assert set(near.count().values()) == {1}
    assert len(near.by_threads) == len(set(near.by_threads)) > CHUNKS * 3 // 4
    assert near.count().keys().isdisjoint(near.by_threads)
    assert len(near.count()) + len(near.by_threads) == CHUNKS
    assert threads.left <= 3
    assert (reader.counters.ahead_wasted, reader.counters.loads_failed) == (0, 0)


async def test_little_is_kept_of_what_threads_load(nursery: trio.Nursery, near: NearLoader) -> None:
    reader = make_reader(nursery, near)
    await Threads(reader.open(manifest(1, CHUNKS))).reads(range(CHUNKS - 1))
    assert reader.budget.used <= 4 * AHEAD


async def test_who_reads_in_the_event_loop_alone_has_no_threads(
    nursery: trio.Nursery, near: NearLoader
) -> None:
    file = make_reader(nursery, near).open(manifest(1, CHUNKS))
    for number in range(CHUNKS):
        await file.read(number * CHUNK, CHUNK)
    assert near.by_threads == []


async def test_several_threads_at_once(nursery: trio.Nursery, near: NearLoader) -> None:
    """They read side by side, as a mount's do; nothing is loaded twice, and no turn is lost."""
    file = make_reader(nursery, near).open(manifest(1, CHUNKS))
    threads = Threads(file)
    await threads.reads(range(100))
    for first in range(100, CHUNKS, THREADS):  # none falls behind what is kept
        async with trio.open_nursery() as several:
            for number in range(first, min(first + THREADS, CHUNKS)):
                several.start_soon(threads.read, number)
    assert len(near.by_threads) == len(set(near.by_threads))
    assert set(near.count().values()) == {1}
    turns = file._flights.claims.turns
    assert [turns.acquire(blocking=False) for _ in range(LOADERS + 1)] == [True] * LOADERS + [False]


@pytest.mark.parametrize("mistake", [None, RuntimeError("a mistake"), MemoryError()])
async def test_what_fails_in_a_thread_is_loaded_by_the_loop(
    nursery: trio.Nursery, near: NearLoader, mistake: Exception | None
) -> None:
    reader = make_reader(nursery, near)
    threads = Threads(reader.open(manifest(1, CHUNKS)))
    await threads.reads(range(200))
    near.mistake = mistake
    near.broken = {chunk_id(1, number) for number in range(CHUNKS)}
    before = len(near.by_threads)
    await threads.reads(range(200, CHUNKS))
    # One load by a thread failed; for a good while none tries again.
    assert CAREFUL > CHUNKS * CHUNK
    assert len(near.by_threads) - before <= AHEAD // CHUNK
    assert {chunk_id(1, number) for number in range(300, CHUNKS)} <= near.count().keys()
    assert reader.counters.loads_failed == 1


async def test_no_thread_loads_without_memory(nursery: trio.Nursery, near: NearLoader) -> None:
    reader = make_reader(nursery, near)
    threads = Threads(reader.open(manifest(1, CHUNKS)))
    await threads.reads(range(200))
    reader.budget.charge(reader.budget.left)
    before = len(near.by_threads)
    await threads.reads(range(200, CHUNKS))
    assert len(near.by_threads) == before


async def test_no_thread_waits_for_slow_disks(
    nursery: trio.Nursery, near: NearLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(make_reader(nursery, near).open(manifest(1, CHUNKS)))
    monkeypatch.setattr(readahead, "LONG", -1.0)
    await threads.reads(range(CHUNKS))
    assert near.by_threads == []


async def test_a_thread_that_hangs_keeps_nobody(
    nursery: trio.Nursery, near: NearLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "PATIENCE", 0.01)
    monkeypatch.setattr(claims_module, "HURRY", 0.01)
    reader = make_reader(nursery, near)
    threads = Threads(reader.open(manifest(1, CHUNKS)))
    await threads.reads(range(200))
    near.free.clear()
    async with trio.open_nursery() as hanging:
        for number in range(200, 200 + AHEAD // CHUNK):  # somewhere it loads, and hangs
            hanging.start_soon(threads.read, number)
        await trio.to_thread.run_sync(near.hanging.wait)
        monkeypatch.setattr(near, "load_now", None)  # no other thread may need it
        await threads.reads(range(200 + AHEAD // CHUNK, CHUNKS))
        assert near.given_up
        near.free.set()
    await threads.reads(range(CHUNKS))


async def test_who_comes_late_hears_of_a_claim(nursery: trio.Nursery, near: NearLoader) -> None:
    """The loop waits for a chunk that a thread loads; it comes, and is not loaded again."""
    file = make_reader(nursery, near).open(manifest(1, CHUNKS))
    threads = Threads(file)
    near.free.clear()
    spans = file.spans(0, CHUNK)
    load = partial(file._flights.claims.load, spans, file._supply, threads.soon)
    async with trio.open_nursery() as both:
        both.start_soon(trio.to_thread.run_sync, load)
        await trio.to_thread.run_sync(near.hanging.wait)
        both.start_soon(file.read, 0, CHUNK)
        await wait_all_tasks_blocked()
        near.free.set()
    assert near.by_threads == [chunk_id(1, 0)]
    assert near.loads == []


async def test_where_threads_hang_the_loop_loads_ahead_until_they_come_back(
    nursery: trio.Nursery, near: NearLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "PATIENCE", 0.01)
    monkeypatch.setattr(claims_module, "HURRY", 0.01)
    # The loop finds backends enough that answer: it says no more than that.
    monkeypatch.setattr(near, "give_up", near.given_up.append)
    threads = Threads(make_reader(nursery, near).open(manifest(1, 2 * CHUNKS)))
    await threads.reads(range(100))
    near.free.clear()
    async with trio.open_nursery() as hanging:
        for number in range(100, 100 + AHEAD // CHUNK):
            hanging.start_soon(threads.read, number)
        await trio.to_thread.run_sync(near.hanging.wait)
        before = len(near.loads)
        await threads.reads(range(100 + AHEAD // CHUNK, 200))
        together = max(map(len, near.loads[before:]))
        near.free.set()
    assert together > 1
    alone = len(near.by_threads)
    await threads.reads(range(200, 2 * CHUNKS))
    assert len(near.by_threads) - alone > CHUNKS


async def test_a_claim_of_many_chunks_is_waited_for_once(
    nursery: trio.Nursery, near: NearLoader, mock_clock: MockClock
) -> None:
    """Who reads on does not wait for each of them anew."""
    file = make_reader(nursery, near).open(manifest(1, CHUNKS))
    claims, spans = file._flights.claims, file.spans(0, 8 * CHUNK)
    claim = Claim(begun=time.monotonic() - claims_module.PATIENCE)
    claims._flights.update((span.id, claim) for span in spans)
    async with trio.open_nursery() as waiting:
        for span in spans:
            waiting.start_soon(claims.landed, span.id, claim, file._supply)
        await wait_all_tasks_blocked()
        assert not waiting.child_tasks
        waiting.cancel_scope.cancel()
    assert not claims._flights
    assert claims.hanging


@pytest.mark.parametrize("taken", [0, 1])
async def test_the_loop_takes_a_chunk_while_its_thread_lets_go_of_it(
    nursery: trio.Nursery, near: NearLoader, taken: int
) -> None:
    class Flights(dict[ChunkId, Flight]):
        """In which the event loop takes a chunk just after the thread has looked for it."""

        def get(self, id_: ChunkId, default: Flight | None = None) -> Flight | None:
            found = super().get(id_, default)
            if isinstance(found, Claim) and id_ == spans[taken].id:
                super().pop(id_)
            return found

    file = make_reader(nursery, near).open(manifest(1, CHUNKS))
    claims, spans = file._flights.claims, file.spans(0, 3 * CHUNK)
    claims._flights = Flights()
    assert claims.load(spans, file._supply, lambda job: job())
    assert not claims._flights
