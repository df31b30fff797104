"""Between journal and index: what is durable on the backends is never forgotten."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.cas.formats.journal import PackStored, Record
from modelfloat.cas.index.index import Index
from modelfloat.cas.packs.health import Event
from modelfloat.creating import BackendSpec
from modelfloat.errors import QuotaError
from modelfloat.ids import ObjectId, PackId
from modelfloat.opening import open_store
from modelfloat.tests.support import samples
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


async def test_an_index_that_missed_records_catches_up(tmp_path: Path) -> None:
    """As after a crash between a durable record and the index, several times over."""
    one, two, three = (weights(tmp_path / n, 2_000_000, n) for n in ("one", "two", "three"))
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    shutil.copytree(tmp_path / "store" / "index", tmp_path / "older")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
    shutil.rmtree(tmp_path / "store" / "index")
    (tmp_path / "older").rename(tmp_path / "store" / "index")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "three")
        assert await read(store, "acme/model/one") == one
        assert await read(store, "acme/model/two") == two
        assert await read(store, "acme/model/three") == three
        assert (await store.verify()).exit_status == 0


async def test_a_crash_before_the_index_leaves_the_branch_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = weights(tmp_path / "old", 2_000_000, "old")
    new = weights(tmp_path / "new", 2_000_000, "new")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "old")

        def crash(*_: object) -> None:
            raise OSError("pulled the plug")

        with monkeypatch.context() as patched:
            patched.setattr(Index, "apply", crash)
            with pytest.raises((OSError, ExceptionGroup)) as failed:
                await add(store, tmp_path / "new")
            assert "pulled the plug" in repr(failed.value)
        assert await read(store, "acme/model/old") == old
    async with open_store(str(tmp_path / "store")) as store:
        report = await add(store, tmp_path / "new")
        # The pack was in the journal already: the second try stores no data again.
        assert (report.new, report.encoded) == (0, 0)
        assert await read(store, "acme/model/new") == new
        assert (await store.verify()).exit_status == 0


async def test_a_full_backend_leaves_a_degraded_pack(tmp_path: Path) -> None:
    """Two backends hold three shards each: there is no room for a fourth."""
    data = weights(tmp_path / "model")
    two = tuple(BackendSpec(name, f"backends/{name}") for name in ("d0", "d1"))
    async with fresh_store(tmp_path / "store", "4+2", two) as store:
        full = next(iter(store.members))
        real, full.backend = full.backend, FaultyBackend(full.backend)
        full.backend.inject("full", on=["put"], prefix="packs/", times=1)
        await add(store, tmp_path / "model")
        assert await read(store, "acme/model/model") == data
        assert (await store.stats()).degraded_packs > 0
        full.backend = real
        store.members.hear(full, Event.ROOM)
        report = await store.verify(repair=True)
        assert all(problem.repaired for problem in report.problems)
        assert (await store.stats()).degraded_packs == 0
        assert (await store.verify()).exit_status == 0


async def test_too_few_places_store_nothing(tmp_path: Path) -> None:
    weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        for member in list(store.members)[:4]:
            member.backend = FaultyBackend(member.backend)
            member.backend.inject("full", on=["put"], prefix="packs/")
        with pytest.raises(QuotaError):
            await add(store, tmp_path / "model")
        assert store.refs.repositories() == []
    assert shard_files(tmp_path / "store") == []


async def test_a_record_takes_only_so_many_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs that wait for one record are shared out by their chunks, not by their number alone."""
    monkeypatch.setattr("modelfloat.cas.journal.journal.GROUP_CHUNKS", 20)
    sizes: list[int] = []
    real = Index.apply

    def counted(self: Index, record: Record, objects: dict[ObjectId, bytes]) -> None:
        sizes.append(sum(isinstance(entry, PackStored) for entry in record.entries))
        real(self, record, objects)

    monkeypatch.setattr(Index, "apply", counted)
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    packs = [replace(stored, pack=PackId(bytes([n]) * 16)) for n in range(9)]
    async with fresh_store(tmp_path / "store") as store, store.access.writing("a test") as journal:
        async with trio.open_nursery() as nursery:
            for pack in packs:
                nursery.start_soon(journal.append, [pack])
        assert {pack.id for pack in store.index.packs()} == {pack.pack for pack in packs}
    assert sum(sizes) == 9
    assert max(sizes) == 2
