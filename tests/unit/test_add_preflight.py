"""Will it fit? Estimates against what is really stored, refusals before anything is, dry runs."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelfloat.backends.base import Usage
from modelfloat.backends.local import LocalBackend
from modelfloat.cas.add import preflight, unchanged
from modelfloat.cas.add.estimate import Load, Room, fits, stored_size
from modelfloat.cas.add.preflight import about
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.add.sampling import SPOTS, Sample, sample, spots
from modelfloat.cas.add.scan import Item
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.tree import EntryType
from modelfloat.cas.packs.placement import Candidate
from modelfloat.cas.refnames import parse_address
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import QuotaError
from modelfloat.ids import BackendId
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, shard_files

GB = 10**9


def request(*sources: Path, **more: object) -> AddRequest:
    where = parse_address("acme/m")
    return AddRequest([str(s) for s in sources], where, **more)  # type: ignore[arg-type]


def free(monkeypatch: pytest.MonkeyPatch, **bytes_: int) -> None:
    """Let each backend of that name have so many bytes, on a filesystem of its own."""

    async def usage(self: LocalBackend) -> Usage:
        return Usage(bytes_[self.name], 10**15, f"disk of {self.name}")

    monkeypatch.setattr(LocalBackend, "usage", usage)


def everything(store: Path) -> list[tuple[str, int]]:
    """Every file of a store and its size, but for what opening it writes."""
    found = [p for p in store.rglob("*") if p.is_file() and p.name != "lock.mdb"]
    return sorted((str(p), p.stat().st_size) for p in found)


@pytest.mark.parametrize("scheme", ["4+2", "1+1", "8+1"])
@pytest.mark.parametrize("size", [30_000, 3_000_000, 90_000_000])
async def test_the_estimate_is_what_it_takes(tmp_path: Path, scheme: str, size: int) -> None:
    (tmp_path / "f").write_bytes(os.urandom(size))
    async with fresh_store(tmp_path / "store", scheme) as store:
        estimate = stored_size(Load(size, 1), store.scheme)
        await add(store, tmp_path / "f")
    taken = sum(path.stat().st_size for path in shard_files(tmp_path / "store"))
    assert taken * 0.97 - 5_000 < estimate < taken * 1.05 + 5_000


def rooms(*free: int | None, space: str = "") -> list[Room]:
    """Backends with so many free bytes, all in one space or each in its own."""
    return [
        Room(
            Candidate(BackendId(bytes([i]) * 16), f"domain {i}", 1.0), f"d{i}", space or f"s{i}", f
        )
        for i, f in enumerate(free)
    ]


@pytest.mark.parametrize(
    ("size", "found", "expected"),
    [
        (60, rooms(*[11] * 6), True),
        (60, rooms(*[9] * 6), False),
        (60, rooms(61, 61, 61, 61, 61, 61, space="one disk"), True),
        (60, rooms(58, 58, 58, 58, 58, 58, space="one disk"), False),
        (60, rooms(13, 13, 13, 13, 13, 0), True),  # two shards of a pack may lie on one
        (60, rooms(99, 99, 0, 0, 0, 0), False),  # but no more
        (60, rooms(*[None] * 6), True),
        (60, rooms(None, None, None, 2, 2, 2), True),
        (60, rooms(None, None, 2, 2, 2, 2), False),
        (60, rooms(), False),
        (0, rooms(*[0] * 6), True),
    ],
)
def test_what_fits_where(size: int, found: list[Room], expected: bool) -> None:
    scaled = [
        Room(r.candidate, r.name, r.space, None if r.free is None else r.free * GB) for r in found
    ]
    everyone = [room.candidate for room in found]
    assert fits(size * GB, Scheme(4, 2), scaled, everyone) is expected


def test_backends_that_are_down_take_nothing_but_count() -> None:
    """With one of six down the sixth shard of a pack may lie on another, so it must fit there."""
    found = rooms(*[100 * GB] * 6)
    everyone = [room.candidate for room in found]
    assert fits(60 * GB, Scheme(4, 2), found[:5], everyone)
    assert not fits(60 * GB, Scheme(4, 2), found[:2], everyone)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (9_400_000, "9.4 MB"), (120 * GB, "120 GB")],
)
def test_sizes_are_told_roughly(size: int, text: str) -> None:
    assert about(size) == text


async def test_an_add_that_will_not_fit_ends_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(noise("f", 6_000_000))
    async with fresh_store(tmp_path / "store") as store:
        free(monkeypatch, **{f"d{i}": 1_000_000 for i in range(6)})
        with pytest.raises(QuotaError) as caught:
            await store.carry_out(request(tmp_path / "f"))
        assert str(caught.value) == (
            "this needs about 9.0 MB with parity on d0, d1, d2, d3, d4, d5, 6.0 MB are free; free "
            "some space, add a backend, or begin anyway with --no-preflight"
        )
        assert shard_files(tmp_path / "store") == []
        free(monkeypatch, d4=10**8, d5=10**8, **{f"d{i}": 10 for i in range(4)})
        with pytest.raises(QuotaError, match="but only 10 B on d0"):
            await store.carry_out(request(tmp_path / "f"))
        report = await store.carry_out(request(tmp_path / "f", preflight=False))
        assert report.commit is not None


async def test_an_index_without_room_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(noise("f", 6_000_000))
    real = os.statvfs

    def statvfs(path: str) -> object:
        found = list(real(path))
        found[4] = 0
        return os.statvfs_result(found)

    async with fresh_store(tmp_path / "store") as store:
        free(monkeypatch, **{f"d{i}": 90_000_000 for i in range(6)})
        monkeypatch.setattr(preflight.os, "statvfs", statvfs)
        with pytest.raises(QuotaError, match=r"the index in .* needs about .*, 0 B are free there"):
            await store.carry_out(request(tmp_path / "f"))


async def test_holes_and_what_is_stored_need_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "RACY", 0)
    (tmp_path / "stored").write_bytes(noise("f", 6_000_000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(300_000_000)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "stored", "acme/m")
        free(monkeypatch, **{f"d{i}": 1_000_000 for i in range(6)})
        report = await store.carry_out(request(tmp_path / "stored", tmp_path / "sparse"))
        assert report.unchanged_files == 1


async def test_a_dry_run_says_what_would_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "RACY", 0)
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_bytes(noise("a", 2_000_000))
    (source / "old").write_bytes(b"old")
    async with fresh_store(tmp_path / "store") as store:
        first = await store.plan(request(source))
        assert (first.files, first.logical, first.unchanged_files) == (2, 2_000_003, 0)
        assert 3_000_000 < first.needed < 3_100_000
        assert first.problem == ""
        await add(store, source, "acme/m")
        (source / "old").unlink()
        (source / "new").write_bytes(b"new!")
        before = everything(tmp_path / "store")
        made = await store.plan(request(source, sync=True))
        assert everything(tmp_path / "store") == before
        assert (made.files, made.unchanged, made.unchanged_files) == (2, 2_000_000, 1)
        assert (made.removed, made.removed_files) == (["old"], 1)
        assert made.needed < 20_000
        free(monkeypatch, **{f"d{i}": 0 for i in range(6)})
        assert "with parity" in (await store.plan(request(source, sync=True))).problem


def bf16(path: Path, size: int) -> None:
    """A safetensors file of `size` bytes of BF16 weights, N(0, 0.02), and half as many of noise."""
    numbers = np.random.default_rng(5).standard_normal(size // 2, np.float32) * np.float32(0.02)
    body = (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes() + noise("n", size // 2)
    tensors = {
        "a": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]},
        "b": {"dtype": "U8", "shape": [size // 2], "data_offsets": [size, size + size // 2]},
    }
    header = json.dumps(tensors).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)


@pytest.mark.parametrize("effort", list(Effort))
async def test_the_estimate_knows_what_codecs_save(tmp_path: Path, effort: Effort) -> None:
    (tmp_path / "src").mkdir()
    bf16(tmp_path / "src" / "w.safetensors", 24_000_000)
    (tmp_path / "src" / "text").write_bytes(b"".join(b"%d, " % n for n in range(600_000)))
    async with fresh_store(tmp_path / "store", "4+2") as store:
        asked = request(tmp_path / "src", effort=effort)
        needed = (await store.plan(asked)).needed
        await store.carry_out(asked)
        taken = sum(path.stat().st_size for path in shard_files(tmp_path / "store"))
        assert taken * 0.97 < needed < taken * 1.08
        assert (effort is Effort.FAST) == (taken > 1.5 * 40_000_000 * 0.95)


async def test_what_fits_only_encoded_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"the same words again and again " * 200_000)
    async with fresh_store(tmp_path / "store") as store:
        free(monkeypatch, **{f"d{i}": 1_000_000 for i in range(6)})
        with pytest.raises(QuotaError, match="this needs about 9"):
            await store.carry_out(request(tmp_path / "f", effort=Effort.FAST))
        assert (await store.carry_out(request(tmp_path / "f"))).commit is not None


def adapter(path: Path, tensors: int) -> None:
    """A safetensors file of `tensors` tensors of 1 KiB, as adapters have them."""
    names = [f"model.layers.{j // 14}.attn.{'qkvo'[j % 4]}.lora.{j}" for j in range(tensors)]
    header = json.dumps(
        {
            name: {"dtype": "BF16", "shape": [8, 64], "data_offsets": [j << 10, (j + 1) << 10]}
            for j, name in enumerate(names)
        }
    ).encode()
    body = noise(path.name, tensors << 10)
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)


@pytest.mark.parametrize("effort", [Effort.FAST, Effort.BALANCED])
async def test_the_estimate_knows_region_tables(tmp_path: Path, effort: Effort) -> None:
    """Of files of two kinds, more of them than are looked at."""
    (tmp_path / "src").mkdir()
    for number in range(90):
        adapter(tmp_path / "src" / f"{number}.safetensors", 100 if number % 3 else 400)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        asked = request(tmp_path / "src", effort=effort)
        made = await store.plan(asked)
        await store.carry_out(asked)
        packs = [p for p in store.index.packs() if p.kind is Kind.OBJECT]
        objects = sum(pack.raw for pack in packs)
        assert objects < made.index_needed < 3 * objects


def test_spots_lie_at_equal_distances() -> None:
    item = Item.found((b"f",), b"/f", EntryType.FILE, os.stat("/"))
    files = [(replace(item, size=size), fresh) for size, fresh in ((64, 64), (9, 0), (320, 192))]
    found = list(spots(files, 256))
    assert len(found) == SPOTS
    assert [offset for each, offset in found if each.size == 64] == list(range(2, 64, 4))
    assert [offset for each, offset in found if each.size == 9] == []
    assert all(0 <= offset < each.size for each, offset in found)


async def test_files_that_cannot_be_read_are_no_sample(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(noise("f", 100_000))
    item = Item.found((b"f",), bytes(tmp_path / "f"), EntryType.FILE, os.stat(tmp_path / "f"))
    (tmp_path / "f").unlink()
    found = sample(lambda: [(item, 100_000)], Effort.BALANCED, lambda: None)
    assert found == Sample(1.0, 0)
