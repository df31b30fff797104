"""Windows of a large file are encoded side by side, and packed as if they had not been."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.cas import packer
from modelfloat.cas.add import ingest, largefiles, line
from modelfloat.cas.add.scan import Item
from modelfloat.cas.add.sources import read_window
from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.formats.manifest import ChunkRef
from modelfloat.cas.journal.journal import Journal
from modelfloat.cas.packs.builder import NewChunk
from modelfloat.cas.packs.encoding import SHARE, Cut, encode_chunks, shares
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ChunkDamagedError, NotFoundError
from modelfloat.ids import ChunkId
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

WINDOW = 8 << 20
WAIT = 20


def places(store: Store, address: str) -> list[tuple[int, int]]:
    """Pack and offset of each chunk of a file, in the file's order."""
    entry = store.find(parse_address(address))
    spans: list[ChunkRef] = list(store.objects.recipe(store.objects.manifest(entry.object)).all())
    return [(p[0].pack, p[0].offset) for p in store.index.locate([span.id for span in spans])]


@pytest.mark.parametrize(
    "size", [WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW + 12_345, 5 * WINDOW + 999_999]
)
async def test_chunks_lie_in_the_order_of_the_file(tmp_path: Path, size: int) -> None:
    data = noise("order", size)
    (tmp_path / "f").write_bytes(data)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        report = await add(store, tmp_path / "f", "a/b")
        assert (report.logical, report.new) == (size, size)
        found = places(store, "a/b/f")
        assert found == sorted(found)
        assert await read(store, "a/b/f") == data


class Overtaking:
    """Lets the first share of chunks be encoded after a later one has been."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
        self._later = threading.Event()
        self._lock = threading.Lock()
        self._begin = begin
        self.finished: list[ChunkId] = []
        monkeypatch.setattr(ingest, "encode_chunks", self)

    def __call__(self, cuts: Sequence[Cut], effort: Effort) -> list[NewChunk]:
        if cuts[0].data[: len(self._begin)] == self._begin:
            assert self._later.wait(WAIT)
        chunks = encode_chunks(cuts, effort)
        with self._lock:
            self.finished += [chunk.id for chunk in chunks]
        self._later.set()
        return chunks


async def test_a_share_that_overtakes_another_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise("overtaking", 3 * WINDOW)
    (tmp_path / "f").write_bytes(data)
    overtaking = Overtaking(monkeypatch, data[:32])
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f", "a/b")
        found = places(store, "a/b/f")
        order = [store.index.locate([id_])[0][0] for id_ in overtaking.finished]
        assert [(p.pack, p.offset) for p in order] != found
        assert found == sorted(found)
        assert await read(store, "a/b/f") == data


async def test_a_window_that_overtakes_another_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first window is encoded only when the second one is, which may then go no further."""
    data = noise("overtaking", 3 * WINDOW)
    (tmp_path / "f").write_bytes(data)
    real, overtaken = ingest.Ingest.encode, trio.Event()
    finished: list[int] = []

    async def encode(self: ingest.Ingest, new: Sequence[Cut]) -> list[NewChunk]:
        chunks = await real(self, new)
        if bytes(new[0].data[:32]) == data[:32]:
            with trio.fail_after(WAIT):
                await overtaken.wait()
        overtaken.set()
        finished.append(data.index(bytes(new[0].data[:32])))
        return chunks

    monkeypatch.setattr(ingest.Ingest, "encode", encode)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f", "a/b")
        assert finished[0] != 0
        found = places(store, "a/b/f")
        assert found == sorted(found)


class LatePack:
    """No pack is durable until a window behind those that fill the line is cut, and these are
    encoded only when the first pack is: what `begin` holds goes ahead of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
        self._begin = begin
        self._behind = trio.Event()
        self._durable = threading.Event()
        self._windows = 0
        self._put, self._append = line.Line.put, Journal.append
        monkeypatch.setattr(line.Line, "put", lambda *given: self._count(*given))
        monkeypatch.setattr(Journal, "append", lambda *given: self._wait(*given))
        monkeypatch.setattr(ingest, "encode_chunks", self._encode)

    async def _count(self, *given: Any) -> None:
        self._windows += 1
        if self._windows == line.DEPTH + 2:
            self._behind.set()
        await self._put(*given)

    async def _wait(self, *given: Any) -> None:
        await self._behind.wait()
        await self._append(*given)
        self._durable.set()

    def _encode(self, cuts: Sequence[Cut], effort: Effort) -> list[NewChunk]:
        if bytes(cuts[0].data[:32]) not in self._begin:
            assert self._durable.wait(WAIT)
        return encode_chunks(cuts, effort)


async def test_what_became_durable_while_a_window_waited_is_not_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = noise("first", WINDOW)
    (tmp_path / "f").write_bytes(begin + noise("between", line.DEPTH * WINDOW) + begin)
    monkeypatch.setattr(packer, "pack_limit", lambda _: WINDOW // 2)
    LatePack(monkeypatch, begin)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        report = await add(store, tmp_path / "f", "a/b")
        assert report.deduplicated > WINDOW * 3 // 4
        assert report.new == (await store.stats()).unique
        spans = store.objects.recipe(
            store.objects.manifest(store.find(parse_address("a/b/f")).object)
        ).all()
        assert {len(found) for found in store.index.locate([s.id for s in spans])} == {1}


async def test_a_thread_that_fails_ends_the_add_and_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise("failing", 3 * WINDOW)
    (tmp_path / "f").write_bytes(data)
    calls = []

    def failing(cuts: Sequence[Cut], effort: Effort) -> list[NewChunk]:
        calls.append(len(cuts))
        if len(calls) == 3:
            raise ChunkDamagedError("this one cannot be encoded")
        return encode_chunks(cuts, effort)

    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "encode_chunks", failing)
            with pytest.raises(ChunkDamagedError, match="this one"):
                await add(store, tmp_path / "f", "a/b")
        with pytest.raises(NotFoundError):
            store.find(parse_address("a/b/f"))
        await add(store, tmp_path / "f", "a/b")
        assert await read(store, "a/b/f") == data
        assert (await store.verify()).exit_status == 0


async def test_what_a_failing_file_claimed_is_there_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise("shared", 4 * WINDOW)
    (tmp_path / "src").mkdir()
    for name in ("bad", "good"):
        (tmp_path / "src" / name).write_bytes(data)
    seen: list[bytes] = []

    def reading(item: Item, fd: int, offset: int, buffer: memoryview) -> int:
        seen.append(item.source)
        if item.source == seen[0] and offset >= 2 * WINDOW:
            raise largefiles.SourceChangedError("its disk went away")
        return read_window(item, fd, offset, buffer)

    monkeypatch.setattr("modelfloat.cas.add.holes.read_window", reading)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        report = await add(store, tmp_path / "src", "a/b")
        assert report.failed == ["its disk went away"]
        (left,) = {b"bad", b"good"} - {seen[0].rsplit(b"/", 1)[1]}
        assert report.deduplicated >= WINDOW
        assert await read(store, f"a/b/{left.decode()}") == data
        assert (await store.verify()).exit_status == 0


async def test_few_windows_are_in_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    pools: list[largefiles.BufferPool] = []

    class Counting(largefiles.BufferPool):
        def __init__(self, size: int, count: int) -> None:
            super().__init__(size, count)
            pools.append(self)

        def _make(self) -> object:  # type: ignore[override]
            made.append(self.size)
            return super()._make()

    monkeypatch.setattr(largefiles, "BufferPool", Counting)
    monkeypatch.setattr(largefiles, "WINDOW", 1 << 20)
    (tmp_path / "f").write_bytes(noise("many windows", 60 << 20))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f", "a/b")
    assert len(pools) == 1
    # One is read, one is cut, and the rest before it may hold one more.
    assert len(made) <= line.DEPTH + 3


async def test_an_add_that_was_cancelled_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled from the thread that encodes what only the third window and later ones hold: then
    chunks are claimed, encoded and in packs."""
    data = noise("cancelled", 6 * WINDOW)
    (tmp_path / "f").write_bytes(data)
    scope = trio.CancelScope()

    def cancelling(cuts: Sequence[Cut], effort: Effort) -> list[NewChunk]:
        if bytes(cuts[-1].data[:32]) in data[2 * WINDOW :]:
            trio.from_thread.run_sync(scope.cancel)
        return encode_chunks(cuts, effort)

    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch, scope:
            patch.setattr(ingest, "encode_chunks", cancelling)
            await add(store, tmp_path / "f", "a/b")
        assert scope.cancelled_caught
        with pytest.raises(NotFoundError):
            store.find(parse_address("a/b/f"))
        assert (await add(store, tmp_path / "f", "a/b")).logical == len(data)
        assert await read(store, "a/b/f") == data
        assert (await store.verify()).exit_status == 0


def cuts(*sizes: int) -> list[Cut]:
    return [
        Cut(ChunkId(bytes([n]) * 32), memoryview(bytes(size)), ElementType.BYTES, None)
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ((), 4, []),
        ((1, 1, 1), 4, [3]),
        ((SHARE,) * 8, 2, [4, 4]),
        ((SHARE,) * 8, 16, [1] * 8),
        ((SHARE,) * 8, 3, [2, 3, 3]),
        ((SHARE, 5, SHARE), 2, [1, 2]),
        ((10, SHARE), 3, [2]),
    ],
)
def test_shares_are_about_equal_and_in_order(
    sizes: tuple[int, ...], most: int, expected: list[int]
) -> None:
    given = cuts(*sizes)
    parts = shares(given, most)
    assert [len(part) for part in parts] == expected
    assert [cut for part in parts for cut in part] == given
