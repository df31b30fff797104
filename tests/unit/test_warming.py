"""The disk cache filled ahead: each chunk fetched once, and a report that is true at the end."""

from pathlib import Path

import pytest

from modelfloat.cas.cache import quota, sharedfile
from modelfloat.cas.cache.folder import CacheFolder
from modelfloat.cas.cache.survey import survey
from modelfloat.cas.get import cachefill, warming
from modelfloat.cas.get.warming import WarmReport, warm
from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import parse_address
from modelfloat.tests.support.diskcaches import cached_data, caching
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, weights

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def warmed(store: Path, folder: Path) -> tuple[WarmReport, Progress, int]:
    """What is told of a repository, how far it got, and the bytes that came from backends."""
    progress = Progress()
    async with caching(store, folder) as opened:
        report = await warm(opened, parse_address("acme/model"), progress)
        assert opened.disk is not None
        there = survey(opened.disk.cache.folder)
        assert report.files == sum(file.sealed for file in there)
        return report, progress, opened.counters.fetched


@pytest.mark.parametrize("places", [cachefill.PLACES, 2])
async def test_a_chunk_that_repeats_is_fetched_once(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, places: int
) -> None:
    """However often, and however far apart, as long as it is known where."""
    monkeypatch.setattr(sharedfile, "REPEATS", 0)
    monkeypatch.setattr(cachefill, "PLACES", places)
    block, other = noise("repeated", MIB), noise("other", MIB)
    header = b"\x93NUMPY\x01\x00v\x00" + (
        str({"descr": "|u1", "fortran_order": False, "shape": (24 * MIB,)}).encode().ljust(117)
        + b"\n"
    )
    path = tmp_path / "repeats.npy"
    path.write_bytes(header + block * 20 + other * 2 + block * 2)
    async with fresh_store(tmp_path / "store") as made:
        await add(made, path)
    report, progress, fetched = await warmed(tmp_path / "store", folder)
    size, distinct = path.stat().st_size, MIB * (2 if places > 2 else 3)
    assert (report.files, report.bytes, report.failures) == (1, size, [])
    assert distinct <= report.fetched <= distinct + 1000
    assert fetched <= distinct + 1000
    assert progress.done == progress.total == size
    assert cached_data(folder)[0].read_bytes() == path.read_bytes()


async def test_files_that_went_for_later_ones_are_told(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some are held to the end. The disk has room for fewer than there are."""
    monkeypatch.setattr(warming, "HELD", 2)
    monkeypatch.setattr(quota, "GRAIN", 1 << 16)

    def space(self: CacheFolder) -> tuple[int, int]:
        return 4_500_000 - sum(entry.size for entry in self.entries()), 10**9

    monkeypatch.setattr(CacheFolder, "space", space)
    source = tmp_path / "model"
    source.mkdir()
    for number in range(7):
        weights(source / f"{number}.safetensors", 1_000_000, str(number))
    async with fresh_store(tmp_path / "store") as made:
        await add(made, source)
    report, _, fetched = await warmed(tmp_path / "store", folder)
    assert fetched > 6_000_000
    assert 2 < report.files < 5
    assert report.files + len(report.failures) == 7
    assert 1_000_000 <= report.bytes / report.files < 1_001_000
    assert report.exit_status == 1
    assert all("it is not whole in the disk cache" in failure for failure in report.failures)
