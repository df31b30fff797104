"""Repositories carried between stores: what arrives, what is sent, which way refs may move."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.transfer.counterparts import Alike, Counterparts, Table
from modelfloat.cas.transfer.report import Fate, TransferReport, TransferRequest
from modelfloat.cas.transfer.transfer import Transfer
from modelfloat.errors import (
    ConflictError,
    DataLostError,
    ExistsError,
    ModelFloatError,
    NotFoundError,
    UsageError,
)
from modelfloat.tests.support.encrypted import fresh_encrypted
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read, weights


async def carry(
    source: Store,
    dest: Store,
    *addresses: str,
    known: Counterparts | None = None,
    dry_run: bool = False,
    force: bool = False,
    tags: bool = False,
) -> TransferReport:
    request = TransferRequest(
        [parse_address(each) for each in addresses or ("acme/model",)], tags=tags, force=force
    )
    table = known if known is not None else Alike()
    return await Transfer(source, dest, table, request, Progress()).run(dry_run=dry_run)


def fates(report: TransferReport) -> dict[str, Fate]:
    return {ref.ref: ref.fate for ref in report.refs}


@contextlib.asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    async with (
        fresh_store(tmp_path / "a", "2+1") as source,
        fresh_store(tmp_path / "b", "3+2") as dest,
    ):
        yield source, dest


async def test_a_repository_arrives_with_its_history(tmp_path: Path) -> None:
    first = weights(tmp_path / "model.safetensors", 3_000_000, "one")
    async with two(tmp_path) as (source, dest):
        old = await add(source, tmp_path / "model.safetensors")
        second = weights(tmp_path / "model.safetensors", 3_000_000, "two")
        await add(source, tmp_path / "model.safetensors")
        report = await carry(source, dest)
        assert fates(report) == {"main": Fate.NEW}
        assert report.commits == 2
        assert await read(dest, "acme/model/model.safetensors") == second
        assert await read(dest, "acme/model@main~1/model.safetensors") == first
        assert dest.refs.resolve(parse_address("acme/model").repo, "main~1") == old.commit
        assert (await dest.verify()).exit_status == 0


async def test_only_what_is_missing_is_sent(tmp_path: Path) -> None:
    weights(tmp_path / "base.safetensors", 3_000_000, "base")
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "base.safetensors")
        await carry(source, dest)
        (tmp_path / "note.txt").write_bytes(noise("note", 70_000))
        await add(source, tmp_path / "note.txt")
        planned = await carry(source, dest, dry_run=True)
        report = await carry(source, dest)
        assert report.missing == planned.missing == 70_000
        assert report.commits == planned.commits == 1
        assert fates(report) == {"main": Fate.FORWARD}
        again = await carry(source, dest)
        assert (again.missing, again.commits, again.objects) == (0, 0, 0)
        assert fates(again) == {"main": Fate.SAME}


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    weights(tmp_path / "base.safetensors", 2_000_000, "base")
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "base.safetensors")
        planned = await carry(source, dest, dry_run=True)
        assert planned.missing > 1_900_000
        assert dest.refs.repositories() == []
        assert dest.index.next_pack == 1


async def test_frames_are_copied_as_they_are_stored(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"so many words\n" * 200_000)
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "text.txt")
        report = await carry(source, dest)
        assert report.encoded_anew == 0
        assert report.sent < report.missing / 10
        kinds = [(await each.stats()).kinds for each in (source, dest)]
        assert kinds[0] == kinds[1]


@pytest.mark.parametrize("back", [False, True])
async def test_between_encrypted_and_plain(tmp_path: Path, back: bool) -> None:
    """Ids differ, so all objects do; there and back again they are what they were."""
    data = weights(tmp_path / "model.safetensors", 3_000_000, "one")
    async with (
        fresh_store(tmp_path / "a", "2+1") as plain,
        fresh_encrypted(tmp_path / "b") as encrypted,
    ):
        source, dest = (encrypted, plain) if back else (plain, encrypted)
        first = await add(source, tmp_path / "model.safetensors")
        table = Table(str(tmp_path / "counterparts"), back=False)
        report = await carry(source, dest, known=table)
        assert report.unknown == 0
        assert await read(dest, "acme/model/model.safetensors") == data
        (tmp_path / "note.txt").write_bytes(noise("note", 70_000))
        await add(source, tmp_path / "note.txt")
        planned = await carry(source, dest, known=table, dry_run=True)
        assert (planned.missing, planned.unknown) == (70_000, 70_000)
        second = await carry(source, dest, known=table)
        assert (second.missing, fates(second)) == (70_000, {"main": Fate.FORWARD})
        assert (await dest.verify()).exit_status == 0
        table.close()
        # The same table read from the other end.
        table = Table(str(tmp_path / "counterparts"), back=True)
        (tmp_path / "more.txt").write_bytes(noise("more", 50_000))
        await add(dest, tmp_path / "more.txt")
        third = await carry(dest, source, known=table)
        assert (third.missing, fates(third)) == (50_000, {"main": Fate.FORWARD})
        repo = parse_address("acme/model").repo
        assert source.refs.resolve(repo, "main~2") == first.commit
        table.close()


async def test_a_table_that_is_lost_costs_reads_and_no_more(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors", 3_000_000, "one")
    async with (
        fresh_store(tmp_path / "a", "2+1") as source,
        fresh_encrypted(tmp_path / "b") as dest,
    ):
        await add(source, tmp_path / "model.safetensors")
        table = Table(str(tmp_path / "one"), back=False)
        await carry(source, dest, known=table)
        table.close()
        table = Table(str(tmp_path / "two"), back=False)
        report = await carry(source, dest, known=table)
        assert (report.missing, fates(report)) == (0, {"main": Fate.SAME})
        table.close()


def test_a_table_that_turns_out_to_be_damaged_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "table"
    pairs = [(noise(f"{n} here", 32), noise(f"{n} there", 32)) for n in range(1000)]
    table = Table(str(path), back=False)
    table.note(pairs)
    assert table.find([pairs[0][0]]) == [pairs[0][1]]
    table.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + noise("damage", len(data) - 4096))
    table = Table(str(path), back=False)
    assert table.find([here for here, _ in pairs]) == [None] * len(pairs)
    table.note(pairs)
    assert [table.origin(there) for _, there in pairs] == [here for here, _ in pairs]
    table.close()


def test_a_table_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    with pytest.raises(ModelFloatError, match=r"table cannot be written: .*see to the disk"):
        Table(str(tmp_path / "table"), back=False)


async def test_a_branch_that_went_another_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "b.txt").write_bytes(b"b")
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "a.txt")
        await carry(source, dest)
        await add(dest, tmp_path / "b.txt")
        ahead = await carry(source, dest)
        assert fates(ahead) == {"main": Fate.AHEAD}
        (tmp_path / "a.txt").write_bytes(b"aa")
        await add(source, tmp_path / "a.txt")
        with pytest.raises(ConflictError, match=r"gone another way: .*; rename one of the two"):
            await carry(source, dest)
        assert await read(dest, "acme/model/b.txt") == b"b"
        forced = await carry(source, dest, force=True)
        assert fates(forced) == {"main": Fate.FORCED}
        assert await read(dest, "acme/model/a.txt") == b"aa"


async def test_what_cannot_be_carried(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "a.txt")
        with pytest.raises(NotFoundError, match="no repository"):
            await carry(source, dest, "acme/other")
        with pytest.raises(NotFoundError, match="no branch or tag"):
            await carry(source, dest, "acme/model@nope")
        with pytest.raises(UsageError, match="is a path"):
            await carry(source, dest, "acme/model/a.txt")
        with pytest.raises(UsageError, match="one store"):
            await carry(source, source)


async def test_objects_that_are_gone_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    async with two(tmp_path) as (source, dest):
        await add(source, tmp_path / "a.txt")
        manifest = source.find(parse_address("acme/model/a.txt")).object
        await source.index.write(source.index.drop_objects, [manifest])
        with pytest.raises(DataLostError, match=r"acme/model@[0-9a-f]+/a.txt cannot be read"):
            await carry(source, dest)
        assert dest.refs.repositories() == []


async def test_tags_come_on_request_and_do_not_move(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    async with two(tmp_path) as (source, dest):
        address = parse_address("acme/model")
        await source.add([str(tmp_path / "a.txt")], address, tag="v1")
        assert fates(await carry(source, dest)) == {"main": Fate.NEW}
        assert fates(await carry(source, dest, tags=True)) == {"main": Fate.SAME, "v1": Fate.NEW}
        await source.remove(parse_address("acme/model@v1"))
        (tmp_path / "a.txt").write_bytes(b"aa")
        await source.add([str(tmp_path / "a.txt")], address, tag="v1")
        with pytest.raises(ExistsError, match="the tag acme/model@v1"):
            await carry(source, dest, tags=True)
        report = await carry(source, dest, tags=True, force=True)
        assert fates(report) == {"main": Fate.FORWARD, "v1": Fate.FORCED}
        assert await read(dest, "acme/model@v1/a.txt") == b"aa"
