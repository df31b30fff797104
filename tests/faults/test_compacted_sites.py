"""Journals compacted beside other sites: who is late finds its way, and nobody's head is lost."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from modelfloat.cas.formats.journal import RefKind, ShardPlaced
from modelfloat.cas.gc import compaction
from modelfloat.cas.journal import completeness
from modelfloat.cas.lease.lease import unfenced
from modelfloat.cas.refnames import RepoName
from modelfloat.ids import WriterId
from modelfloat.opening import open_store
from modelfloat.tests.support.compacting import compacted, journal_files, many_records, segments
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights


def same(tmp_path: Path) -> None:
    pictures = [picture(tmp_path / name) for name in ("s", "other")]
    assert differences(*pictures) == []


@pytest.mark.parametrize("known", [0, 3])
async def test_who_is_late_takes_what_it_lacks_from_a_segment(tmp_path: Path, known: int) -> None:
    data = weights(tmp_path / "one", 300_000)
    async with fresh_store(tmp_path / "s", "2+1") as here:
        await add(here, tmp_path / "one", "acme/one")
        await many_records(here, known)
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            weights(tmp_path / "two", 300_000, "two")
            await add(here, tmp_path / "two", "acme/two")
            await many_records(here, 4)
            await compacted(here)
            assert len(journal_files(tmp_path / "s")) == 1
            await add(here, tmp_path / "one", "acme/late")
            # Its own head goes on from what the others have, and theirs from its.
            await add(there, tmp_path / "one", "acme/two")
            assert len(there.index.ref(RepoName("acme", "two"), RefKind.BRANCH, "main")) == 1
            assert await read(there, "acme/late/one") == data
            await compacted(there)
            await add(here, tmp_path / "one", "acme/three")
            assert await read(here, "acme/two/one") == data
            async with there.access.writing("a test") as journal:
                await journal.take_over()
            same(tmp_path)
            for store in (here, there):
                report = await store.verify()
                assert (report.exit_status, report.problems) == (0, [])


async def test_a_move_that_a_segment_tells_late_is_not_undone(tmp_path: Path) -> None:
    """The segment has an older place of a shard, a record that both sites know the newer one."""
    weights(tmp_path / "one", 300_000)
    async with fresh_store(tmp_path / "s", "1+1") as here:
        await add(here, tmp_path / "one", "acme/one")
        pack = next(here.index.packs())
        places = pack.backends
        async with here.access.writing("a test") as journal:
            await journal.append([ShardPlaced(pack.id, 0, places[1])])
            limits = {writer: here.index.writer(writer)[0] for writer in here.index.writers()}
            await journal.append([ShardPlaced(pack.id, 0, places[0])])
        other = await another_site(tmp_path / "s", tmp_path / "other")
        with patch.object(compaction, "LEAST", 2):
            done = await compaction.compact(here.access, unfenced, 1 << 62, limits)
        assert done.records == sum(limits.values())
        async with open_store(str(other)) as there:
            async with there.access.writing("a test") as journal:
                await journal.take_over()
            for store in (here, there):
                found = store.index.pack_of_id(pack.id)
                assert found is not None
                assert found.backends == places
        same(tmp_path)


async def test_what_was_listed_and_is_gone_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other site compacts between a listing here and the question for what it showed."""
    weights(tmp_path / "one", 300_000)
    async with fresh_store(tmp_path / "s", "2+1") as here:
        await add(here, tmp_path / "one", "acme/one")
        other = await another_site(tmp_path / "s", tmp_path / "other")
        await many_records(here, 5)
        listed, real = [], completeness._behind

        async def behind(*arguments: object) -> object:
            found = await real(*arguments)  # type: ignore[arg-type]
            if not listed:
                listed.append(found)
                await compacted(here)
            return found

        async with open_store(str(other)) as there:
            monkeypatch.setattr(completeness, "_behind", behind)
            async with there.access.writing("a test") as journal:
                await journal.take_over()
            assert segments(tmp_path / "s")
        same(tmp_path)


async def test_a_lease_that_ended_ends_the_compaction(tmp_path: Path) -> None:
    weights(tmp_path / "one", 300_000)
    calls: list[int] = []

    def fence() -> None:
        calls.append(len(calls))
        if len(calls) > 1:
            raise RuntimeError("the lease is lost")

    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "one", "acme/one")
        await many_records(store, 66)
        before, count = picture(tmp_path / "s"), len(journal_files(tmp_path / "s"))
        limits = {writer: store.index.writer(writer)[0] for writer in store.index.writers()}
        with pytest.RaisesGroup(
            pytest.RaisesExc(RuntimeError, match="lost"), flatten_subgroups=True
        ):
            await compaction.compact(store.access, fence, 1 << 62, limits)
        # The segment is there, and nothing was taken away.
        assert len(journal_files(tmp_path / "s")) == count + 1
        assert set(differences(before, picture(tmp_path / "s"))) <= {"writers"}
        await compaction.compact(store.access, unfenced, 1 << 62, limits)
        assert len(journal_files(tmp_path / "s")) == 1


@pytest.mark.parametrize("turned", [False, True])
async def test_a_move_is_known_whichever_writer_is_taken_over_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    """One site stores a pack, another moves a shard of it, and a third one hears of both."""
    weights(tmp_path / "one", 300_000)
    async with fresh_store(tmp_path / "s", "1+1") as here:
        await add(here, tmp_path / "one", "acme/first")
        mover = await another_site(tmp_path / "s", tmp_path / "mover")
        other = await another_site(tmp_path / "s", tmp_path / "other")
        weights(tmp_path / "two", 300_000, "two")
        known = {pack.id for pack in here.index.packs()}
        await add(here, tmp_path / "two", "acme/two")
        pack = next(pack for pack in here.index.packs() if pack.id not in known)
        async with (
            open_store(str(mover)) as moving,
            moving.access.writing("a test") as journal,
        ):
            await journal.take_over()
            await journal.append([ShardPlaced(pack.id, 0, pack.backends[1])])
        real = completeness._behind

        async def behind(*arguments: Any) -> Any:
            found = sorted((await real(*arguments)).items(), key=_is_movers, reverse=turned)
            return dict(found)

        def _is_movers(row: tuple[WriterId, object]) -> bool:
            return row[0] == journal.writer

        monkeypatch.setattr(completeness, "_behind", behind)
        async with open_store(str(other), refresh=0) as there:
            async with there.access.writing("a test") as opened:
                await opened.take_over()
            found = there.index.pack_of_id(pack.id)
            assert found is not None
            assert found.backends[0] == pack.backends[1]
