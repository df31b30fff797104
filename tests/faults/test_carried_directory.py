"""A directory that is carried between machines: what it holds, what happens to it on the way."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trio

import modelfloat
from modelfloat import carried
from modelfloat.cas.encryption.founding import Encryption
from modelfloat.cas.transfer.report import Fate, TransferReport
from modelfloat.config import read_config, write_config
from modelfloat.creating import create_store
from modelfloat.errors import BackendError, DataLostError, KeyNeededError, NotFoundError, UsageError
from modelfloat.opening import open_store
from modelfloat.tests.support.compacting import compacted
from modelfloat.tests.support.encrypted import ALICE, CHEAP, MASTER, WORDS
from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.signers import signer
from modelfloat.tests.support.stores import flip_bit, weights

REPO = "acme/model"


def store_at(path: Path, *, encrypted: bool = False) -> Path:
    """A new store of one directory."""

    async def make() -> None:
        encryption = Encryption(ALICE, None, "first", CHEAP, MASTER) if encrypted else None
        await create_store(str(path), None, [], reserve=0, encryption=encryption)

    trio.run(make)
    return path


def content(path: Path, address: str) -> bytes:
    with modelfloat.open(path) as store, store.open(address) as file:
        return file.readall()


def add(path: Path, name: str, data: bytes, folder: Path) -> None:
    (folder / name).write_bytes(data)
    with modelfloat.open(path) as store:
        store.add(folder / name, REPO)


def push(path: Path, directory: Path, **options: object) -> TransferReport:
    with modelfloat.open(path) as store:
        return store.push(directory, REPO, **options)  # type: ignore[arg-type]


def pull(path: Path, directory: Path, **options: object) -> TransferReport:
    with modelfloat.open(path) as store:
        return store.pull(directory, REPO, **options)  # type: ignore[arg-type]


def fate(report: TransferReport) -> Fate:
    (ref,) = report.refs
    return ref.fate


@pytest.fixture
def pushed(tmp_path: Path) -> tuple[Path, Path, bytes]:
    """A store, the directory that its repository was pushed to, and the file in it."""
    here = store_at(tmp_path / "here")
    data = weights(tmp_path / "model.safetensors", 3_000_000)
    with modelfloat.open(here) as store:
        store.add(tmp_path / "model.safetensors", REPO)
    push(here, tmp_path / "stick")
    return here, tmp_path / "stick", data


def test_it_is_all_that_another_machine_needs(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    _, stick, data = pushed
    carried = tmp_path / "elsewhere"
    stick.rename(carried)
    there = store_at(tmp_path / "there")
    report = pull(there, carried)
    assert (fate(report), report.encoded_anew) == (Fate.NEW, 0)
    assert content(there, f"{REPO}/model.safetensors") == data
    again = pull(there, carried)
    assert (fate(again), again.missing) == (Fate.SAME, 0)


def test_it_goes_to_and_fro_with_what_is_new(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    here, stick, _ = pushed
    there = store_at(tmp_path / "there")
    pull(there, stick)
    for number, (one, other) in enumerate(((there, here), (here, there)) * 2):
        add(one, f"{number}.bin", noise(str(number), 60_000), tmp_path)
        report = push(one, stick)
        assert (fate(report), report.missing) == (Fate.FORWARD, 60_000)
        report = pull(other, stick)
        assert (fate(report), report.missing) == (Fate.FORWARD, 60_000)
    assert content(here, f"{REPO}/3.bin") == content(there, f"{REPO}/3.bin")


def test_what_a_push_left_that_was_killed_at_once_is_nothing(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    """Before the first of its files was whole: the directory is made as if it were empty."""
    here, _, data = pushed
    begun = tmp_path / "begun"
    (begun / "tmp").mkdir(parents=True)
    (begun / "tmp" / ("0f" * 16)).write_bytes(b'{"')
    there = store_at(tmp_path / "there")
    with pytest.raises(NotFoundError, match="there is nothing at"):
        pull(there, begun)
    push(here, begun)
    pull(there, begun)
    assert content(there, f"{REPO}/model.safetensors") == data
    (tmp_path / "others" / "tmp").mkdir(parents=True)
    (tmp_path / "others" / "tmp" / "notes").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        push(here, tmp_path / "others")


def test_what_is_kept_of_it_here_can_be_deleted(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    here, stick, _ = pushed
    shutil.rmtree(here / "exchange")
    report = push(here, stick)
    assert (fate(report), report.missing) == (Fate.SAME, 0)
    add(here, "more.bin", noise("more", 60_000), tmp_path)
    assert push(here, stick).missing == 60_000


def test_one_that_was_put_back_gets_again_what_it_lacks(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    """As from a backup, or another stick that the same was copied to before."""
    here, stick, _ = pushed
    shutil.copytree(stick, tmp_path / "before")
    add(here, "more.bin", noise("more", 60_000), tmp_path)
    push(here, stick)
    shutil.rmtree(stick)
    (tmp_path / "before").rename(stick)
    report = push(here, stick)
    assert (fate(report), report.missing) == (Fate.FORWARD, 60_000)
    there = store_at(tmp_path / "there")
    pull(there, stick)
    assert content(there, f"{REPO}/more.bin") == noise("more", 60_000)


def compact(path: Path) -> None:
    """Make segments of the journal of the one directory that is carried from a store."""
    (folder,) = (path / "exchange").iterdir()

    async def work() -> None:
        async with open_store(str(folder)) as store:
            assert (await compacted(store)).segments

    trio.run(work)


def test_its_index_is_kept_when_its_journal_was_compacted(
    pushed: tuple[Path, Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, or at the other end, where that was not known before."""
    here, stick, _ = pushed
    there = store_at(tmp_path / "there")
    pull(there, stick)
    rebuild = carried.rebuild_store

    async def never(*_given: object, **_options: object) -> None:
        raise AssertionError("the index was made anew")

    monkeypatch.setattr(carried, "rebuild_store", never)
    for number, (one, other) in enumerate(((here, there), (there, here))):
        compact(one)
        add(one, f"{number}.bin", noise(str(number), 60_000), tmp_path)
        assert push(one, stick).missing == 60_000
        assert pull(other, stick).missing == 60_000
        assert fate(pull(one, stick)) is Fate.SAME
    monkeypatch.setattr(carried, "rebuild_store", rebuild)
    shutil.rmtree(here / "exchange")
    assert fate(pull(here, stick)) is Fate.SAME
    monkeypatch.setattr(carried, "rebuild_store", never)
    assert fate(push(here, stick)) is Fate.SAME


def test_one_that_was_put_back_to_before_it_was_compacted(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    here, stick, _ = pushed
    shutil.copytree(stick, tmp_path / "before")
    add(here, "more.bin", noise("more", 60_000), tmp_path)
    push(here, stick)
    compact(here)
    shutil.rmtree(stick)
    (tmp_path / "before").rename(stick)
    report = push(here, stick)
    assert (fate(report), report.missing) == (Fate.FORWARD, 60_000)


def test_damage_on_the_way_is_mended_by_parity_or_refused(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    """Nothing that does not verify gets into a store, and no branch shows what is not all there."""
    _, stick, data = pushed
    there = store_at(tmp_path / "there")
    split = sorted(p for p in stick.glob("packs/*/*/*") if p.name.endswith("-8-1"))
    flip_bit(split[2], 1000)
    report = pull(there, stick)
    assert report.encoded_anew > 0
    assert content(there, f"{REPO}/model.safetensors") == data
    flip_bit(split[3], 1000)
    other = store_at(tmp_path / "other")
    with pytest.raises(DataLostError):
        pull(other, stick)
    with modelfloat.open(other) as store:
        assert store.ls() == []


def test_a_medium_that_can_only_be_read_is_enough(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    _, stick, data = pushed
    there = store_at(tmp_path / "there")
    before = {path: path.stat().st_mtime_ns for path in stick.rglob("*")}
    pull(there, stick)
    assert {path: path.stat().st_mtime_ns for path in stick.rglob("*")} == before
    assert content(there, f"{REPO}/model.safetensors") == data


def test_a_medium_that_is_mounted_read_only(tmp_path: Path) -> None:
    """Also where the index that is kept of it is of an earlier state."""
    here, there = store_at(tmp_path / "here"), store_at(tmp_path / "there")
    with small_tmpfs(tmp_path / "medium", "32m") as medium:
        add(here, "one.bin", noise("one", 60_000), tmp_path)
        push(here, medium / "models")
        pull(there, medium / "models")
        add(here, "two.bin", noise("two", 60_000), tmp_path)
        push(here, medium / "models")
        remount_read_only(medium)
        report = pull(there, medium / "models")
        assert (fate(report), report.missing) == (Fate.FORWARD, 60_000)
        assert fate(pull(there, medium / "models")) is Fate.SAME
        add(here, "three.bin", noise("three", 60_000), tmp_path)
        with pytest.raises(BackendError):
            push(here, medium / "models")
    assert content(there, f"{REPO}/two.bin") == noise("two", 60_000)


def test_an_encrypted_one_takes_its_own_key(tmp_path: Path) -> None:
    """A store of one directory, made with its own key, whose directory is carried."""
    data = weights(tmp_path / "model.safetensors", 2_000_000)
    sealed = store_at(tmp_path / "sealed", encrypted=True)
    here, there = store_at(tmp_path / "here"), store_at(tmp_path / "there")
    with modelfloat.open(here) as store:
        store.add(tmp_path / "model.safetensors", REPO)
    push(here, sealed, passphrase=WORDS)
    shutil.copytree(sealed / "backends/d0", tmp_path / "stick")
    with pytest.raises(KeyNeededError):
        pull(there, tmp_path / "stick")
    assert fate(pull(there, tmp_path / "stick", passphrase=WORDS)) is Fate.NEW
    assert content(there, f"{REPO}/model.safetensors") == data
    names = b"".join(p.read_bytes() for p in (tmp_path / "stick").rglob("*") if p.is_file())
    assert b"model.safetensors" not in names


def test_folders_that_are_none(pushed: tuple[Path, Path, bytes], tmp_path: Path) -> None:
    here, _, _ = pushed
    with pytest.raises(NotFoundError, match="there is nothing at"):
        pull(here, tmp_path / "nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        push(here, tmp_path / "full")
    planned = push(here, tmp_path / "new", dry_run=True)
    assert planned.missing > 2_900_000
    assert not os.path.exists(tmp_path / "new")


def test_a_directory_that_came_by_another_way_is_trusted_as_before(
    pushed: tuple[Path, Path, bytes], tmp_path: Path
) -> None:
    """Whose signatures count there was said for the store, wherever it is mounted."""
    here, stick, _ = pushed
    (folder,) = (here / "exchange").iterdir()
    write_config(str(folder), replace(read_config(str(folder)), trusted={signer(1).key: "ann"}))
    stick.rename(tmp_path / "elsewhere")
    push(here, tmp_path / "elsewhere")
    config = read_config(str(folder))
    assert [backend.url for backend in config.backends] == [str(tmp_path / "elsewhere")]
    assert dict(config.trusted) == {signer(1).key: "ann"}
