"""Opening encrypted stores, and changing what opens them: the copies, and who is believed."""

import json
import os
import shutil
from pathlib import Path

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from modelfloat.backendchanges import add_backend, change_backend
from modelfloat.backends.base import Backend
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import keyring_key
from modelfloat.backends.marker import ENCRYPTED
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.encryption.copies import find_copies, local_copy, put_copy
from modelfloat.cas.encryption.founding import Encryption
from modelfloat.cas.encryption.keyring import Keyring, new_entry
from modelfloat.cas.encryption.secrets import Secret, key_file, passphrase
from modelfloat.cas.verify.checkorder import VerifyRequest
from modelfloat.cli.checks_store import configuration
from modelfloat.config import read_config
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import (
    ExistsError,
    LockedError,
    ModelFloatError,
    NotFoundError,
    UnavailableError,
    UsageError,
    WrongKeyError,
)
from modelfloat.keychanges import add_key, change_key, list_keys, new_sheet, remove_key
from modelfloat.opening import open_store
from modelfloat.tests.support.encrypted import (
    ALICE,
    BOB,
    CHEAP,
    DISK,
    MASTER,
    keyrings,
    make_encrypted,
)
from modelfloat.tests.support.samples import STORE
from modelfloat.tests.support.stores import flip_bit
from modelfloat.unlocking import PATIENCE, unlock_keys, unlock_store

FIRST, SECOND, THIRD = (f"{number:016x}" for number in (1, 2, 3))


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    await make_encrypted(path, sheet=tmp_path / "sheet")
    return path


async def opens(store: Path, secret: Secret) -> bool:
    """Whether a secret opens the store; what it gives is the key."""
    try:
        master = await unlock_store(str(store), read_config(str(store)), secret)
    except WrongKeyError:
        return False
    assert master == MASTER
    return True


def sheet_of(path: Path) -> Secret:
    return key_file(path.read_bytes(), str(path))


def lose(store: Path, *names: str) -> None:
    """Take away the keyrings of some backends, or with `` the folder's."""
    for name in names:
        if name:
            shutil.rmtree(store / "backends" / name / "keys")
        else:
            (store / "keyring").unlink()


async def test_every_backend_has_it_and_so_has_the_folder(store: Path) -> None:
    assert keyrings(store) == {"d0": [FIRST], "d1": [FIRST], "d2": [FIRST]}
    files = [store / "keyring", *(store / "backends").glob("*/keys/*")]
    assert len({file.read_bytes() for file in files}) == 1
    assert (store / "keyring").stat().st_mode & 0o777 == 0o600
    assert read_config(str(store)).encrypted


async def test_the_sheet_is_for_its_owner_and_opens_the_store(store: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet"
    assert sheet.stat().st_mode & 0o777 == 0o600
    assert read_config(str(store)).id.hex() in sheet.read_text()
    assert await opens(store, sheet_of(sheet))


async def test_an_init_overwrites_no_sheet_and_leaves_none_behind(tmp_path: Path) -> None:
    (tmp_path / "sheet").write_text("mine")
    with pytest.raises(ExistsError, match="overwrites nothing"):
        await make_encrypted(tmp_path / "a", sheet=tmp_path / "sheet")
    assert (tmp_path / "sheet").read_text() == "mine"
    with pytest.raises(UsageError, match="cannot be written"):
        await make_encrypted(tmp_path / "b", sheet=tmp_path / "none" / "sheet")
    (tmp_path / "c" / "backends").mkdir(parents=True)
    (tmp_path / "c" / "backends" / "d1").write_text("in the way")
    with pytest.raises(Exception, match="d1"):
        await make_encrypted(tmp_path / "c", sheet=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "c" / "keyring").exists()
    assert not list((tmp_path / "c").glob("backends/*/keys/*"))


async def test_no_backend_is_needed_to_open_it(store: Path) -> None:
    shutil.rmtree(store / "backends")
    assert await opens(store, ALICE)
    with pytest.raises(WrongKeyError, match="d0, d1, d2, which may know of later keys"):
        await unlock_store(str(store), read_config(str(store)), BOB)


async def test_nor_the_copy_in_the_folder(store: Path) -> None:
    lose(store, "", "d0", "d1")
    assert not await opens(store, BOB)
    assert local_copy(str(store)) is None
    assert await opens(store, ALICE)
    assert (store / "keyring").read_bytes() == (store / f"backends/d2/keys/{FIRST}").read_bytes()


async def test_with_none_left_only_the_sheet_opens_it(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lose(store, "", "d0", "d1", "d2")
    with pytest.raises(UnavailableError, match="only its recovery sheet"):
        await opens(store, ALICE)
    (store / "backends/d1").rename(store / "away")
    with pytest.raises(UnavailableError, match="bring d1 back"):
        await opens(store, ALICE)
    (store / "away").rename(store / "backends/d1")
    sheet = sheet_of(tmp_path / "sheet")
    await add_key(str(store), sheet, BOB, cost=CHEAP)
    assert "no keyring of this store is left" in caplog.text
    assert await opens(store, BOB)
    assert keyrings(store) == {"d0": [FIRST], "d1": [FIRST], "d2": [FIRST]}


async def test_the_sheet_of_another_store_is_told_so(store: Path, tmp_path: Path) -> None:
    await make_encrypted(tmp_path / "other", sheet=tmp_path / "other sheet")
    with pytest.raises(WrongKeyError, match="take the sheet of this one"):
        await unlock_store(str(store), read_config(str(store)), sheet_of(tmp_path / "other sheet"))


async def test_what_is_in_the_clear_needs_nothing(tmp_path: Path) -> None:
    from modelfloat.creating import create_store

    await create_store(str(tmp_path / "s"), None, [], reserve=0)
    config = read_config(str(tmp_path / "s"))
    assert await unlock_keys(str(tmp_path / "s"), config, ALICE) is None
    with pytest.raises(UsageError, match="is not encrypted"):
        await list_keys(str(tmp_path / "s"), ALICE)


async def test_keys_come_change_and_go(store: Path) -> None:
    path = str(store)
    added = await add_key(path, ALICE, BOB, label="bob", cost=CHEAP)
    assert added.without == ()
    assert keyrings(store) == {"d0": [SECOND], "d1": [SECOND], "d2": [SECOND]}
    assert await opens(store, BOB)
    await change_key(path, BOB, DISK, cost=CHEAP)
    assert [e.label for e in await list_keys(path, DISK)] == ["first", "bob"]
    assert not await opens(store, BOB)
    gone = await remove_key(path, DISK, "first")
    assert gone.entry.label == "first"
    assert not await opens(store, ALICE)
    with pytest.raises(UsageError, match="last one"):
        await remove_key(path, DISK, "bob")
    with pytest.raises(NotFoundError):
        await remove_key(path, DISK, "carol")
    assert await opens(store, DISK)


async def test_a_named_key_is_changed_by_whoever_opens_the_store(
    store: Path, tmp_path: Path
) -> None:
    """So a forgotten passphrase is replaced with the sheet in hand."""
    sheet = sheet_of(tmp_path / "sheet")
    with pytest.raises(UsageError, match="name the key"):
        await change_key(str(store), sheet, BOB, cost=CHEAP)
    await change_key(str(store), sheet, BOB, "first", cost=CHEAP)
    assert await opens(store, BOB)
    assert not await opens(store, ALICE)


async def test_only_who_opens_the_store_changes_anything(store: Path) -> None:
    for change in (
        add_key(str(store), BOB, DISK, cost=CHEAP),
        change_key(str(store), BOB, DISK, "first", cost=CHEAP),
        remove_key(str(store), BOB, "first"),
        new_sheet(str(store), BOB, str(store / "sheet")),
    ):
        with pytest.raises(WrongKeyError):
            await change
    assert keyrings(store) == {"d0": [FIRST], "d1": [FIRST], "d2": [FIRST]}
    assert not (store / "sheet").exists()


async def test_another_sheet_is_like_the_first(store: Path, tmp_path: Path) -> None:
    await new_sheet(str(store), ALICE, str(tmp_path / "again"))
    assert sheet_of(tmp_path / "again").data == sheet_of(tmp_path / "sheet").data
    with pytest.raises(ExistsError):
        await new_sheet(str(store), ALICE, str(tmp_path / "again"))


async def test_a_change_waits_for_its_turn(store: Path) -> None:
    async with open_store(str(store), secret=ALICE) as opened, opened.access.writing("a test"):
        with pytest.raises(LockedError, match="a test"):
            await add_key(str(store), ALICE, BOB, cost=CHEAP, wait=False)
    assert keyrings(store)["d0"] == [FIRST]


async def test_who_comes_from_elsewhere_has_the_later_keys(store: Path, tmp_path: Path) -> None:
    """A folder whose copy is of earlier opens with what was added at another one."""
    earlier = (store / "keyring").read_bytes()
    await change_key(str(store), ALICE, BOB, cost=CHEAP)
    (store / "keyring").write_bytes(earlier)
    assert await opens(store, BOB)
    assert (store / "keyring").read_bytes() != earlier
    assert not await opens(store, ALICE)


async def test_a_change_is_made_of_the_newest(store: Path) -> None:
    """Even where the folder's copy, and one backend's, are of earlier."""
    earlier = (store / "keyring").read_bytes()
    await add_key(str(store), ALICE, BOB, label="bob", cost=CHEAP)
    (store / "keyring").write_bytes(earlier)
    for name in ("d0", "d1"):
        (store / f"backends/{name}/keys/{SECOND}").unlink()
        (store / f"backends/{name}/keys/{FIRST}").write_bytes(earlier)
    await add_key(str(store), ALICE, DISK, label="disk", cost=CHEAP)
    assert [e.label for e in await list_keys(str(store), DISK)] == ["first", "bob", "disk"]
    assert keyrings(store) == {"d0": [THIRD], "d1": [THIRD], "d2": [THIRD]}


async def test_a_backend_that_is_away_is_told_and_mended_later(store: Path) -> None:
    (store / "backends/d1").rename(store / "away")
    change = await change_key(str(store), ALICE, BOB, cost=CHEAP)
    assert change.without == ("d1",)
    (store / "away").rename(store / "backends/d1")
    assert keyrings(store) == {"d0": [SECOND], "d1": [FIRST], "d2": [SECOND]}
    assert not await opens(store, ALICE)
    lose(store, "")
    assert await opens(store, BOB), "the highest number counts, wherever it lies"
    for secret in (None, BOB):
        async with open_store(str(store), secret=secret) as opened:
            report = await opened.verify()
            (problem,) = report.problems
            assert (problem.kind, problem.backend) == ("keyring", "d1")
            assert problem.problem == "an earlier one"
            assert not problem.repaired
            assert report.exit_status == 3
    await repaired(store, None)
    assert keyrings(store)["d1"] == [SECOND]


async def repaired(store: Path, secret: Secret | None) -> list[tuple[str, str]]:
    """What a repair finds of keyrings, all of it mended; another finds nothing."""
    async with open_store(str(store), secret=secret) as opened:
        report = await opened.verify(VerifyRequest(repair=True))
        assert all(problem.repaired for problem in report.problems)
        again = await opened.verify()
        assert again.problems == []
    return [(p.backend, p.problem) for p in report.problems if p.kind == "keyring"]


@pytest.mark.parametrize("secret", [None, ALICE], ids=["locked", "open"])
async def test_missing_and_damaged_ones_are_put_back(store: Path, secret: Secret | None) -> None:
    lose(store, "d0")
    flip_bit(store / f"backends/d1/keys/{FIRST}", 60)
    assert sorted(await repaired(store, secret)) == [("d0", "missing"), ("d1", "damaged")]
    assert len({f.read_bytes() for f in (store / "backends").glob("*/keys/*")}) == 1


async def test_the_folders_copy_is_put_back_too(store: Path) -> None:
    lose(store, "")
    flip_bit(store / f"backends/d2/keys/{FIRST}", 60)
    assert await repaired(store, None) == [("d2", "damaged")]
    assert (store / "keyring").read_bytes() == (store / f"backends/d0/keys/{FIRST}").read_bytes()


async def test_forged_ones_are_passed_over_and_removed(store: Path) -> None:
    """A backend shows a later keyring that is sound, and is not the store's."""
    forged = bytearray((store / "keyring").read_bytes())
    forged[40:48] = (99).to_bytes(8, "little")
    data = bytes(forged[:-32])
    (store / f"backends/d1/{keyring_key(99)}").write_bytes(data + blake3(data).digest())
    lose(store, "")
    assert await opens(store, ALICE)
    assert (store / "keyring").read_bytes()[40:48] == (1).to_bytes(8, "little")
    assert await repaired(store, ALICE) == [("d1", "damaged or forged")]
    assert keyrings(store)["d1"] == [FIRST]


async def test_without_the_key_nobody_is_believed_but_the_folder(store: Path) -> None:
    """What backends have of later numbers may be right; it is left for who has the key."""
    earlier = (store / "keyring").read_bytes()
    await add_key(str(store), ALICE, BOB, cost=CHEAP)
    (store / "keyring").write_bytes(earlier)
    assert await repaired(store, None) == []
    assert keyrings(store) == {"d0": [SECOND], "d1": [SECOND], "d2": [SECOND]}


async def test_one_backend_cannot_forge_a_keyring_for_all(store: Path) -> None:
    """A sound one with the highest number takes nobody's place unless the key tells that it may."""
    config = read_config(str(store))
    forged = Keyring(config.id, 99, (new_entry(config.id, bytes(32), BOB, "evil", CHEAP),))
    lose(store, "", "d0")
    (store / f"backends/d1/{keyring_key(1)}").unlink()
    (store / f"backends/d1/{keyring_key(99)}").write_bytes(forged.sealed(bytes(32)))
    async with open_store(str(store)) as opened:
        report = await opened.verify(VerifyRequest(repair=True))
    assert [p.problem for p in report.problems if p.kind == "keyring"] == [
        "no telling which is right: give the key, or bring other backends back"
    ]
    assert not (store / "keyring").exists()
    assert keyrings(store) == {"d0": [], "d1": [f"{99:016x}"], "d2": [FIRST]}
    assert await opens(store, ALICE)


async def test_with_none_left_verify_says_so(store: Path) -> None:
    lose(store, "", "d0", "d1", "d2")
    async with open_store(str(store)) as opened:
        report = await opened.verify()
    assert [p.problem for p in report.problems] == [
        "none that is sound is left: only the recovery sheet opens the store"
    ]


async def test_a_backend_that_is_added_gets_it(store: Path, tmp_path: Path) -> None:
    await add_backend(str(store), "new", str(tmp_path / "new"))
    there = tmp_path / "new" / keyring_key(1)
    assert there.read_bytes() == (store / "keyring").read_bytes()


async def test_a_directory_that_is_made_anew_gets_it(store: Path) -> None:
    shutil.rmtree(store / "backends/d0")
    async with open_store(str(store)) as opened:
        report = await opened.verify(VerifyRequest(repair=True))
    assert report.replaced == ["d0"]
    assert keyrings(store)["d0"] == [FIRST]


async def test_with_no_backend_up_nothing_is_changed(store: Path) -> None:
    before = (store / "keyring").read_bytes()
    (store / "backends").rename(store / "away")
    with pytest.raises(UnavailableError, match="nothing is changed"):
        await add_key(str(store), ALICE, BOB, cost=CHEAP)
    assert (store / "keyring").read_bytes() == before


async def test_a_folder_that_cannot_be_written_opens_all_the_same(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(store, "")

    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("modelfloat.unlocking.write_local_copy", refuse)
    assert await opens(store, ALICE)
    assert not (store / "keyring").exists()


async def test_a_full_disk_under_a_change_is_told(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backends have it by then: nothing is lost, and the next command finds it there."""

    def refuse(*_arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("modelfloat.keychanges.write_local_copy", refuse)
        with pytest.raises(ModelFloatError, match="the backends have the new keys"):
            await add_key(str(store), ALICE, BOB, cost=CHEAP)
    assert await opens(store, BOB)
    assert await repaired(store, None) == []


async def test_a_configuration_that_forgot_that_it_is_encrypted(store: Path) -> None:
    """Nothing is stored in the clear, and no marker forgets it too."""
    config = store / "config.toml"
    config.write_text(config.read_text().replace("encrypted = true\n", ""))
    async with open_store(str(store)) as opened:
        assert opened.members.up() == []
        downs = [member.down for member in opened.members]
        assert all("put `encrypted = true` below [store]" in why for why in downs)
    await change_backend(str(store), "d0", {"weight": 2.0})
    for marker in (store / "backends").glob("*/modelfloat.json"):
        assert json.loads(marker.read_text())["incompat"] == ENCRYPTED


async def test_a_configuration_that_says_of_one_in_the_clear_that_it_is_encrypted(
    tmp_path: Path,
) -> None:
    """No marker comes to say so too."""
    store = tmp_path / "store"
    await create_store(str(store), Scheme.parse("2+1"), [], reserve=0)
    config = store / "config.toml"
    config.write_text(config.read_text().replace('"2+1"\n', '"2+1"\nencrypted = true\n'))
    async with open_store(str(store)) as opened:
        assert opened.members.up() == []
        downs = [member.down for member in opened.members]
        assert all("take `encrypted = true` out" in why for why in downs)
    await change_backend(str(store), "d0", {"weight": 2.0})
    for marker in (store / "backends").glob("*/modelfloat.json"):
        assert json.loads(marker.read_text())["incompat"] == 0


async def test_doctor_tells_of_the_keyring(store: Path) -> None:
    def told() -> list[tuple[str, str]]:
        found = configuration(str(store))
        return [(each.level.name, each.text) for each in found if each.check == "keyring"]

    assert told() == [("OK", "1 key may open the store")]
    flip_bit(store / "keyring", 60)
    assert [level for level, _ in told()] == ["WARNING"]
    assert await opens(store, ALICE)
    assert [level for level, _ in told()] == ["OK"]


async def test_no_secret_is_in_any_message(store: Path) -> None:
    secret = passphrase("hunter2secret")
    with pytest.raises(WrongKeyError) as caught:
        await unlock_store(str(store), read_config(str(store)), secret)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(secret)


async def served(data: bytes, *, hangs: bool) -> list[Backend]:
    """Two backends that have a keyring, the second of which may not answer."""
    backends: list[Backend] = []
    for name in ("quick", "late"):
        inner = MemoryBackend(name)
        await put_copy(inner, 1, data)
        backend = FaultyBackend(inner)
        if hangs and name == "late":
            backend.inject("hang")
        backends.append(backend)
    return backends


async def test_who_hangs_is_not_waited_for_where_another_answers(
    autojump_clock: MockClock,
) -> None:
    data = Encryption(ALICE, None, "first", CHEAP, MASTER).begin(STORE)
    found = await find_copies(await served(data, hangs=True), STORE, PATIENCE)
    assert [copy.data for copy in found.copies["quick"]] == [data]
    assert [record.number for record in found.records()] == [1]
    assert "did not answer within 5 s" in str(found.failed["late"])
    found = await find_copies(await served(data, hangs=False), STORE, PATIENCE)
    assert set(found.copies) == {"quick", "late"}
    assert not found.failed


async def test_without_a_sound_keyring_all_are_waited_for(autojump_clock: MockClock) -> None:
    quick, late = await served(b"no keyring", hangs=True)
    with trio.move_on_after(20 * PATIENCE) as waiting:
        await find_copies([quick, late], STORE, PATIENCE)
    assert waiting.cancelled_caught
