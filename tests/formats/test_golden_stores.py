"""Golden stores: what any release ever stored, this one opens, verifies, writes out and rescues."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from modelfloat.cas.encryption.sheet import Sheet, encode_sheet
from modelfloat.cas.encryption.storecipher import cipher_of
from modelfloat.cas.formats.journal import (
    PackDeleted,
    PackStored,
    RefChanged,
    ShardPlaced,
    decode_record,
)
from modelfloat.cas.get.getting import get
from modelfloat.cas.refnames import parse_address
from modelfloat.ids import StoreId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.encrypted import MASTER
from modelfloat.tests.support.everycodec import many_names
from modelfloat.tests.support.folders import restored
from modelfloat.tests.support.golden_stores import (
    GOLDEN,
    STORES,
    GoldenStore,
    name_of,
    unpack,
)
from modelfloat.tests.support.rescuing import rescue
from modelfloat.version import __version__

every_store = pytest.mark.parametrize("archive", GOLDEN, ids=name_of)
CODECS = [archive for archive in GOLDEN if archive.name.startswith("codecs-")]
every_codec = pytest.mark.parametrize("archive", CODECS, ids=name_of)
"""Those with chunks of all codecs and with region pages; the others have files of all kinds."""
every_kind = pytest.mark.parametrize(
    "archive", [archive for archive in GOLDEN if archive not in CODECS], ids=name_of
)


def sheet(golden: GoldenStore, folder: Path) -> list[str]:
    """The option by which a rescue gets the recovery sheet, of a store that needs one."""
    if golden.keys is None:
        return []
    marker = json.loads((golden.backends[0] / "modelfloat.json").read_text())
    path = folder / "sheet.txt"
    path.write_bytes(encode_sheet(Sheet(StoreId(bytes.fromhex(marker["store"])), MASTER), "today"))
    return ["--sheet", str(path)]


def test_this_release_has_its_stores() -> None:
    """A release is not made without them: tests/formats/make_golden_store.py."""
    names = {archive.name for archive in (STORES / __version__).glob("*.tar.xz")}
    kinds = {"six-4+2", "three-2+1", "one-8+1", "codecs-8+1", "sealed-2+1"}
    assert names == {f"{kind}.tar.xz" for kind in kinds}


@every_kind
def test_it_holds_what_it_is_for(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    assert {"acme/model", "acme/model@dev", "acme/model@v1.0"} <= golden.expected.keys()
    listing = golden.expected["acme/model"]
    assert {facts[0] for facts in listing.values()} == {"file", "folder", "link"}
    assert b"\xff\xfe" in listing
    schemes = {shard.name[2:] for b in golden.backends for shard in b.glob("packs/*/*/*")}
    k, m = golden.scheme
    assert schemes == {f"{k}-{m}", f"1-{m}"}


@every_codec
async def test_it_holds_every_codec_and_region_pages(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    address = parse_address("acme/model/many.safetensors")
    async with open_store(str(golden.path), keys=golden.keys) as store:
        used = {place.codec for _, places in store.index.each_chunk() for place in places}
        manifest = store.objects.manifest(store.find(address).object)
        regions = list(store.objects.regions(manifest))
    assert used == set(range(10))
    assert manifest.region_pages
    assert [region.name for region in regions] == ["", *many_names()]
    assert {(each.size, each.shape) for each in regions[1:]} == {(1, (1, 1))}


@every_store
async def test_it_opens_and_is_clean(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    async with open_store(str(golden.path), keys=golden.keys) as store:
        report = await store.verify()
        assert (report.exit_status, report.problems, report.down) == (0, [], {})
        await get(store, None, str(tmp_path / "out"), verify=True)
        assert restored(tmp_path / "out") == golden.expected
        # And it can be added to.
        (tmp_path / "new").write_bytes(b"new")
        await store.add([str(tmp_path / "new")], parse_address("acme/model"))
        assert (await store.verify()).exit_status == 0


@every_store
async def test_its_index_is_made_anew(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    shutil.rmtree(golden.path / "index")
    report = await rebuild_store(str(golden.path), keys=golden.keys)
    assert report.exit_status == 0
    async with open_store(str(golden.path), keys=golden.keys) as store:
        assert (await store.verify()).exit_status == 0
        await get(store, None, str(tmp_path / "out"), verify=True)
    assert restored(tmp_path / "out") == golden.expected


@every_kind
def test_it_has_records_of_every_type(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    cipher = cipher_of(golden.keys, encrypted=golden.keys is not None)
    types = {
        type(entry)
        for backend in golden.backends
        for record in backend.glob("journal/*/*")
        for entry in decode_record(record.read_bytes(), record.name, cipher).entries
    }
    assert {PackStored, RefChanged, PackDeleted} <= types
    if "three" in archive.name:
        assert ShardPlaced in types


@every_store
def test_it_is_rescued_with_any_m_backends_gone(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    result = rescue(tmp_path / "all", golden.backends, *sheet(golden, tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert restored(tmp_path / "all") == golden.expected
    gone = golden.scheme[1] if len(golden.backends) > 1 else 0
    for number, lost in enumerate(itertools.combinations(golden.backends, gone)):
        out = tmp_path / f"without{number}"
        left = [backend for backend in golden.backends if backend not in lost]
        result = rescue(out, left, *sheet(golden, tmp_path))
        assert result.returncode == 0, result.stderr
        assert restored(out) == golden.expected
        shutil.rmtree(out)
        if number == 5:
            break


@every_store
def test_one_lost_shard_of_each_pack_is_made_up_for(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    packs: dict[str, list[Path]] = {}
    for backend in golden.backends:
        for shard in backend.glob("packs/*/*/*"):
            packs.setdefault(shard.parent.name, []).append(shard)
    for shards in packs.values():
        min(shards, key=lambda shard: shard.name).unlink()
    result = rescue(tmp_path / "out", golden.backends, *sheet(golden, tmp_path))
    assert (result.returncode, result.stderr) == (0, "")
    assert restored(tmp_path / "out") == golden.expected


@pytest.mark.parametrize("archive", [a for a in GOLDEN if "sealed" in a.name], ids=name_of)
def test_what_is_encrypted_is_not_rescued_without_its_sheet(archive: Path, tmp_path: Path) -> None:
    golden = unpack(archive, tmp_path)
    result = rescue(tmp_path / "out", golden.backends)
    assert (result.returncode, result.stderr) == (
        1,
        "rescue: the store is encrypted: name its sheet by --sheet\n",
    )
    option, path = sheet(golden, tmp_path)
    text = Path(path).read_text()
    row = next(line for line in text.splitlines() if line.strip().startswith("key 3"))
    for wrong, why in (
        (text.replace(row, ""), "`key 3` has a mistake"),
        (text.replace(row, row[:-1] + ("A" if row[-1] != "A" else "B")), "`key 3` has a mistake"),
        (text.replace("store  ", "store  f"), "`key 1` has a mistake"),
    ):
        Path(path).write_text(wrong)
        result = rescue(tmp_path / "out", golden.backends, option, path)
        assert result.returncode == 1
        assert why in result.stderr
    assert not (tmp_path / "out").exists()
