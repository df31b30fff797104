"""Markers gone, damaged, foreign, newer; folders without a disk in them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.store import Store
from modelfloat.errors import FormatError
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import all_files, flip_payload, packs_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

DATA = noise("f", 1_500_000)


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store of 4+2 with a file in it."""
    (tmp_path / "f").write_bytes(DATA)
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await add(store, tmp_path / "f")
    return tmp_path / "store"


def marker(store: Path, name: str = "d0") -> Path:
    return store / "backends" / name / "modelfloat.json"


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


async def is_down(store: Store, name: str, why: str) -> None:
    """That one backend is down, for that reason, and everything is read and told all the same."""
    (down,) = store.members.down()
    assert down.name == name
    assert why in down.down
    assert await read(store, "acme/model/f") == DATA
    report = await store.verify()
    assert list(report.down) == [name]
    assert (report.exit_status, report.lost) == (3, [])
    assert {p.backend for p in report.problems} == {name}


@pytest.mark.parametrize("how", ["spoiled", "gone", "empty"])
async def test_a_marker_is_written_anew_where_all_shards_are(stored: Path, how: str) -> None:
    before = all_files(stored)
    if how == "gone":
        marker(stored).unlink()
    elif how == "empty":
        marker(stored).write_bytes(b"")
    else:
        spoil(marker(stored))
    async with open_store(str(stored)) as store:
        why = "no modelfloat.json" if how == "gone" else "is not JSON"
        await is_down(store, "d0", why)
        report = await store.verify(repair=True)
        assert [(p.kind, p.backend, p.repaired) for p in report.problems] == [
            ("marker", "d0", True)
        ]
        assert store.members.down() == []
        assert (await store.verify()).exit_status == 0
    after = all_files(stored)
    assert before.items() <= {**after, marker(stored): before[marker(stored)]}.items()
    assert json.loads(after[marker(stored)]) == json.loads(before[marker(stored)])


async def test_a_marker_is_not_written_where_a_shard_lacks(stored: Path) -> None:
    spoil(marker(stored))
    next((stored / "backends" / "d0").glob("packs/*/*/*")).unlink()
    async with open_store(str(stored)) as store:
        report = await store.verify(repair=True)
        assert "marker" not in {p.kind for p in report.problems}
        assert list(report.down) == ["d0"]
    assert len(marker(stored).read_bytes()) == 50


async def test_a_marker_is_not_written_beside_shards_that_are_not_ours(stored: Path) -> None:
    spoil(marker(stored))
    for path in (stored / "backends" / "d0").glob("packs/*/*/*"):
        path.write_bytes(path.read_bytes()[:-64] + bytes(64))
    async with open_store(str(stored)) as store:
        await store.verify(repair=True)
        assert [m.name for m in store.members.down()] == ["d0"]


async def test_a_foreign_marker_is_down_and_stays(stored: Path) -> None:
    change(marker(stored), store="ab" * 16)
    foreign = marker(stored).read_bytes()
    inside = all_files(stored)
    async with open_store(str(stored)) as store:
        await is_down(store, "d0", "belongs to store abab")
        await store.verify(repair=True)
        (stored.parent / "g").write_bytes(noise("g", 1_500_000))
        await add(store, stored.parent / "g")
        assert await read(store, "acme/model/g") == noise("g", 1_500_000)
    assert marker(stored).read_bytes() == foreign
    here = stored / "backends" / "d0"
    assert {p for p in all_files(stored) if p.is_relative_to(here)} == {
        p for p in inside if p.is_relative_to(here)
    }


async def test_a_newer_marker_is_down_and_stays(stored: Path) -> None:
    change(marker(stored), format=2)
    newer = marker(stored).read_bytes()
    async with open_store(str(stored)) as store:
        await is_down(store, "d0", "a newer release wrote its marker (format 2")
        await store.verify(repair=True)
    assert marker(stored).read_bytes() == newer


async def test_a_newer_marker_that_came_meanwhile_is_one_error(stored: Path) -> None:
    """And not a group of them, which nobody who goes on after ours would catch."""
    async with open_store(str(stored)) as store:
        for name in ("d0", "d1"):
            change(marker(stored, name), format=2)
        with pytest.raises(FormatError, match="a newer release wrote its marker"):
            async with store.access.writing("a test"):
                pass


async def test_flags_that_forbid_writing_are_kept(stored: Path) -> None:
    change(marker(stored), ro_compat=4)
    before = all_files(stored)
    flip_payload(packs_of(stored)[0].shards[0])
    damaged = all_files(stored)
    async with open_store(str(stored)) as store:
        assert await read(store, "acme/model/f") == DATA
        assert (await store.verify()).exit_status == 3
        with pytest.raises(FormatError, match="a newer release keeps this one from writing"):
            await store.verify(repair=True)
        with pytest.raises(FormatError, match="upgrade"):
            await add(store, stored.parent / "f", "acme/else")
    assert all_files(stored) == damaged != before


async def test_an_unmounted_disk_is_down_and_left_empty(stored: Path) -> None:
    """Its mount point is an empty folder."""
    here = stored / "backends" / "d0"
    here.rename(stored.parent / "away")
    here.mkdir()
    async with open_store(str(stored)) as store:
        await is_down(store, "d0", "is the disk mounted?")
        (stored.parent / "g").write_bytes(noise("g", 1_500_000))
        await add(store, stored.parent / "g")
        await store.verify(repair=True)
        assert await read(store, "acme/model/g") == noise("g", 1_500_000)
        assert list(here.iterdir()) == []
        here.rmdir()
        (stored.parent / "away").rename(here)
        await store.members.look()
        assert store.members.down() == []
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0


async def test_a_disk_unmounted_while_the_store_is_open(stored: Path) -> None:
    here = stored / "backends" / "d0"
    async with open_store(str(stored)) as store:
        here.rename(stored.parent / "away")
        here.mkdir()
        (stored.parent / "g").write_bytes(noise("g", 1_500_000))
        await add(store, stored.parent / "g")
        assert list(here.iterdir()) == []
        assert [m.name for m in store.members.down()] == ["d0"]
        assert await read(store, "acme/model/g") == noise("g", 1_500_000)


async def test_one_backend_under_two_names_is_refused(stored: Path) -> None:
    """By its UUID in the configuration; by its marker where the same folder has another UUID."""
    path = stored / "config.toml"
    text = path.read_text()
    uuids = [line for line in text.splitlines() if line.startswith("uuid")]
    path.write_text(text.replace(uuids[1], uuids[0]))
    with pytest.raises(FormatError, match="d0 and d1 are one backend"):
        async with open_store(str(stored)):
            pass
    path.write_text(text)
    shutil.rmtree(stored / "backends" / "d1")
    (stored / "backends" / "d1").symlink_to("d0")
    async with open_store(str(stored)) as store:
        await is_down(store, "d1", "is backend d0")
