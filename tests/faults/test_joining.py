"""A store found by what lies on its backends, and joined from another folder."""

import json
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat import finding
from modelfloat.backendchanges import add_backend
from modelfloat.backends.base import Listed
from modelfloat.backends.keys import parse_journal_key
from modelfloat.backends.local import LocalBackend
from modelfloat.backends.marker import Marker, MarkerBackend
from modelfloat.backends.told import server_of
from modelfloat.cas.lease.sites import own_site
from modelfloat.cas.rebuild import rebuild
from modelfloat.cas.refnames import parse_address
from modelfloat.cli.main import run
from modelfloat.config import read_config
from modelfloat.errors import (
    ExistsError,
    FormatError,
    KeyNeededError,
    UnavailableError,
    UsageError,
    WrongKeyError,
)
from modelfloat.finding import Place, Told, find_store
from modelfloat.ids import BackendId, StoreId
from modelfloat.joining import join_store
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.compacting import compacted, many_records, segments
from modelfloat.tests.support.encrypted import ALICE, BOB, make_encrypted
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.sites import another_site, join
from modelfloat.tests.support.stores import add, fresh_store, read, weights


def change_marker(backend: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a backend's marker as whoever has that backend could."""
    path = backend / "modelfloat.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


async def shared(tmp_path: Path, scheme: str = "2+1") -> bytes:
    """A store in `s` with a file in it."""
    data = weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", scheme) as store:
        await store.add([str(tmp_path / "a")], parse_address("acme/m"), tag="v1")
    return data


async def test_one_backend_suffices_to_find_the_store(tmp_path: Path) -> None:
    data = await shared(tmp_path)
    there = tmp_path / "s/backends"
    report = await join(tmp_path / "other", there / "d1")
    assert (report.backends, report.down) == (("d0", "d1", "d2"), {})
    ours, theirs = read_config(str(tmp_path / "other")), read_config(str(tmp_path / "s"))
    assert [b.id for b in ours.backends] == [b.id for b in theirs.backends]
    assert [b.url for b in ours.backends] == [str(there / f"d{i}") for i in range(3)]
    assert (ours.id, ours.scheme, report.index.exit_status) == (theirs.id, "2+1", 0)
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m@v1/a") == data
        await add(store, tmp_path / "a", "acme/again")
        assert (await store.verify()).exit_status == 0
    site = own_site(str(tmp_path / "other/locks")).hex()
    assert len(list(there.glob(f"*/sites/{site}"))) == 3


async def test_with_a_backend_away_it_is_joined_all_the_same(tmp_path: Path) -> None:
    data = await shared(tmp_path)
    (tmp_path / "s/backends/d0").rename(tmp_path / "away")
    report = await join(tmp_path / "other", tmp_path / "s/backends/d2")
    assert list(report.down) == ["d0"]
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m/a") == data
    with pytest.raises(UnavailableError, match="no backend shows which store it is of: the dir"):
        await join(tmp_path / "none", tmp_path / "s/backends/d0")
    with pytest.raises(UnavailableError, match=r"^the directory .*/d0 is gone"):
        await join(tmp_path / "none", tmp_path / "s/backends/d2", tmp_path / "s/backends/d0")
    assert not await trio.Path(tmp_path / "none").exists()


async def test_with_too_many_away_nothing_is_made_of_it(tmp_path: Path) -> None:
    await shared(tmp_path)
    for name in ("d0", "d1"):
        (tmp_path / "s/backends" / name).rename(tmp_path / name)
    with pytest.raises(UnavailableError, match="too many backends are down"):
        await join(tmp_path / "other", tmp_path / "s/backends/d2")
    assert not await trio.Path(tmp_path / "other/config.toml").exists()
    for name in ("d0", "d1"):
        (tmp_path / name).rename(tmp_path / "s/backends" / name)
    await join(tmp_path / "other", tmp_path / "s/backends/d2")


async def test_ones_own_folder_is_made_anew(tmp_path: Path) -> None:
    """Only the backends are left of it; paths in it are its own again."""
    data = await shared(tmp_path)
    for path in (tmp_path / "s").iterdir():
        if path.name != "backends":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    await join(tmp_path / "s", tmp_path / "s/backends/d0")
    assert [b.url for b in read_config(str(tmp_path / "s")).backends] == [
        f"backends/d{i}" for i in range(3)
    ]
    async with open_store(str(tmp_path / "s")) as store:
        assert await read(store, "acme/m/a") == data


async def test_what_is_told_of_places_that_mean_nothing_here(tmp_path: Path) -> None:
    """A relative path begins in a folder that nobody knows here."""
    data = await shared(tmp_path)
    for i in range(3):
        (tmp_path / f"s/backends/d{i}").rename(tmp_path / f"moved{i}")
    with pytest.raises(UsageError, match=r"where is d1 \(backends/d1\), d2 \(backends/d2\)\?"):
        await join(tmp_path / "other", tmp_path / "moved0")
    named = [Place(str(tmp_path / f"moved{i}"), f"d{i}") for i in (1, 2)]
    await join(tmp_path / "other", tmp_path / "moved0", *named)
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m/a") == data


async def test_one_that_is_gone_is_told_where_it_was(tmp_path: Path) -> None:
    data = await shared(tmp_path)
    for i in range(3):
        (tmp_path / f"s/backends/d{i}").rename(tmp_path / f"moved{i}")
    gone = [Place(str(tmp_path / "moved1")), Place(str(tmp_path / "nowhere"), "d2")]
    report = await join(tmp_path / "other", tmp_path / "moved0", *gone)
    assert list(report.down) == ["d2"]
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m/a") == data


async def test_a_backend_that_was_away_has_an_old_list(tmp_path: Path) -> None:
    """The others tell of what came since, whichever is asked first."""
    await shared(tmp_path)
    await add_backend(str(tmp_path / "s"), "new", str(tmp_path / "new"))
    change_marker(tmp_path / "s/backends/d0", lambda marker: marker["backends"].pop())
    found = await find_store(str(tmp_path / "other"), [Place(str(tmp_path / "s/backends/d0"))])
    assert [b.name for b in found.config.backends] == ["d0", "d1", "d2", "new"]


async def made_up(tmp_path: Path, count: int) -> list[dict[str, Any]]:
    """Have d0 tell of backends of its own, which say the same; the list that they have."""
    hostile = tmp_path / "s/backends/d0"
    own = json.loads((hostile / "modelfloat.json").read_text())
    places = [
        own["backends"][0]
        | {"backend": f"{n:032x}", "name": f"x{n}", "url": str(tmp_path / f"x{n}")}
        for n in range(count)
    ]
    listed = [own["backends"][0], *places]
    change_marker(hostile, lambda marker: marker.update(backends=listed))
    for place in places:
        await trio.Path(place["url"]).mkdir()
        marker = own | {"backend": place["backend"], "name": place["name"], "backends": listed}
        await trio.Path(place["url"], "modelfloat.json").write_text(json.dumps(marker))
    return listed


async def test_one_backend_does_not_outvote_those_that_were_given_too(tmp_path: Path) -> None:
    """Whatever it names says the same as it does."""
    await shared(tmp_path)
    listed = await made_up(tmp_path, 6)
    given = [Place(str(tmp_path / f"s/backends/d{i}")) for i in range(3)]
    found = await find_store(str(tmp_path / "other"), given)
    assert [b.name for b in found.config.backends] == ["d0", "d1", "d2"]
    assert found.told == {}
    alone = await find_store(str(tmp_path / "other"), given[:1])
    assert [b.name for b in alone.config.backends] == [entry["name"] for entry in listed]
    assert {name: told.by for name, told in alone.told.items()} == {
        f"x{n}": ("d0",) for n in range(6)
    }


async def test_places_without_end_are_not_all_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that is asked tells of another one."""
    monkeypatch.setattr(finding, "MOST", 20)
    asked: list[str] = []

    async def marker(_path: str, place: Place) -> Marker:
        asked.append(place.url)
        number = len(asked)
        following = MarkerBackend(BackendId(bytes([number]) * 16), f"x{number}", f"/x{number}", "d")
        own = BackendId(bytes([number - 1]) * 16)
        listed = (MarkerBackend(own, f"x{number - 1}", place.url, "d"), following)
        return Marker(StoreId(bytes(16)), own, f"x{number - 1}", "2+1", listed)

    monkeypatch.setattr(finding, "_marker", marker)
    found = await find_store(str(tmp_path / "other"), [Place("/x0")])
    assert len(asked) == 20
    assert len(found.config.backends) == 2


async def test_who_told_of_a_place_is_known(tmp_path: Path) -> None:
    await shared(tmp_path)
    there = tmp_path / "s/backends"
    found = await find_store(str(tmp_path / "other"), [Place(str(there / f"d{i}")) for i in (0, 2)])
    assert found.told == {"d1": Told(str(there / "d1"), ("d0", "d2"))}
    await add_backend(str(tmp_path / "s"), "new", str(tmp_path / "new"))
    change_marker(there / "d0", lambda marker: marker["backends"].pop())
    found = await find_store(str(tmp_path / "other"), [Place(str(there / "d0"))])
    assert found.told["d1"].by == ("d0",)
    assert found.told["new"].by == ("d1", "d2")


async def test_what_cannot_be_one_store_is_refused(tmp_path: Path) -> None:
    await shared(tmp_path)
    async with fresh_store(tmp_path / "t", "2+1"):
        pass
    (s, t), other = (tmp_path / "s/backends/d0", tmp_path / "t/backends/d0"), tmp_path / "other"
    with pytest.raises(UsageError, match="name those of one store"):
        await join(other, s, t)
    with pytest.raises(UsageError, match="two places show the same backend, d0"):
        await join(other, s, f"{s}/")
    with pytest.raises(UsageError, match="given as d1 is the backend d0"):
        await join(other, Place(str(s), "d1"))
    with pytest.raises(ExistsError, match="is a store already"):
        await join(tmp_path / "t", s)
    (tmp_path / "t/config.toml").unlink()
    with pytest.raises(ExistsError, match="index belongs to another store"):
        await join(tmp_path / "t", s)


async def test_a_marker_sends_nobody_to_a_server_that_was_not_named(tmp_path: Path) -> None:
    """Whoever has one backend could else have the credentials of others sent to him."""
    await shared(tmp_path)

    def lie(marker: dict[str, Any]) -> None:
        marker["backends"][2]["url"] = "webdav://127.0.0.1:1/x"

    for i in range(3):
        change_marker(tmp_path / f"s/backends/d{i}", lie)
    found = await find_store(str(tmp_path / "other"), [Place(str(tmp_path / "s/backends/d0"))])
    assert found.unknown == {"d2": "webdav://127.0.0.1:1/x"}
    assert found.down == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("webdavs://me@host/a", "webdavs://HOST/b", True),
        ("webdavs://host/a", "webdav://host/b", False),
        ("s3://a", "s3://b?region=eu", True),
        ("s3://a?endpoint=https://host:1", "s3://b?endpoint=host:1", True),
        ("s3://a?endpoint=https://host:1", "s3://b?endpoint=http://host:1", False),
        ("s3://a", "s3://b?endpoint=https://host", False),
        ("s3://a?endpoint=host", "s3://b?endpoint=https://evil%3Fendpoint=https://host", False),
        ("s3://a", "s3://b?endpoint=https://evil%3Fendpoint=memory://host", False),
        ("s3://a", "s3://b?endpoint=memory://evil", False),
        ("webdavs://host/a", "webdavs://evil/b?endpoint=webdavs://host", False),
        ("mega://x", "/disk", True),
        ("ipfs://host:5001/x", "ipfs+gateway://host:5001/x", False),
    ],
)
def test_which_urls_are_of_one_server(one: str, other: str, same: bool) -> None:
    assert (server_of(one) == server_of(other)) is same


async def test_an_encrypted_store_is_joined_with_its_key_alone(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000, "a")
    await make_encrypted(tmp_path / "s")
    async with open_store(str(tmp_path / "s"), secret=ALICE) as store:
        await add(store, tmp_path / "a", "acme/m")
    there = tmp_path / "s/backends/d0"
    with pytest.raises(KeyNeededError):
        await join(tmp_path / "other", there)
    with pytest.raises(WrongKeyError):
        await join(tmp_path / "other", there, secret=BOB)
    report = await join(tmp_path / "other", there, secret=ALICE)
    assert report.encrypted
    async with open_store(str(tmp_path / "other"), secret=ALICE) as store:
        assert await read(store, "acme/m/a") == data


async def test_a_marker_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    await shared(tmp_path)
    there = tmp_path / "s/backends/d0"
    change_marker(there, lambda marker: marker.update(incompat=1 << 20))
    with pytest.raises(FormatError, match="a newer release wrote its marker"):
        await join(tmp_path / "other", there)


@pytest.mark.usefixtures("autojump_clock")
async def test_a_place_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared(tmp_path)

    async def hang(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(LocalBackend, "get", hang)
    with pytest.raises(UnavailableError, match="d0 did not answer within 10 s"):
        await find_store(str(tmp_path), [Place(str(tmp_path / "s/backends/d0"), "d0")])


async def test_what_was_interrupted_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await shared(tmp_path)
    found = await find_store(str(tmp_path / "other"), [Place(str(tmp_path / "s/backends/d0"))])

    def fail(*_: object) -> None:
        raise OSError("a power cut")

    with monkeypatch.context() as patch:
        patch.setattr("modelfloat.joining.write_config", fail)
        with pytest.raises(OSError, match="a power cut"):
            await join_store(str(tmp_path / "other"), found, reserve=0)
    await join_store(str(tmp_path / "other"), found, reserve=0)
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m/a") == data


async def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    await shared(tmp_path)
    there, other = tmp_path / "s/backends/d0", tmp_path / "other"
    (other / "lost+found").mkdir(parents=True)
    (other / "notes").write_text("mine")
    with pytest.raises(ExistsError, match="has notes in it"):
        await join(other, there)
    assert sorted(path.name for path in other.iterdir()) == ["lost+found", "notes"]
    (other / "notes").unlink()
    await join(other, there)


async def test_both_sites_see_what_either_adds(tmp_path: Path) -> None:
    data = await shared(tmp_path)
    await another_site(tmp_path / "s", tmp_path / "other")
    more = weights(tmp_path / "b", 300_000, "b")
    for number, (here, there) in enumerate((("s", "other"), ("other", "s"))):
        async with open_store(str(tmp_path / here)) as store:
            await add(store, tmp_path / "b", f"acme/b{number}")
        async with open_store(str(tmp_path / there)) as store:
            await add(store, tmp_path / "a", f"acme/a{number}")
            assert await read(store, f"acme/b{number}/b") == more
            assert await read(store, "acme/m/a") == data


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights(tmp_path / "a", 300_000, "a")
    there, store = tmp_path / "s/backends/d1", ["--store", str(tmp_path / "s")]
    assert run([*store, "--quiet", "init", "--erasure", "2+1"]) == 0
    assert run([*store, "--quiet", "add", str(tmp_path / "a"), "acme/m"]) == 0
    capsys.readouterr()
    other = ["--store", str(tmp_path / "other")]
    assert run([*other, "init", "--join", "--backend", f"d1={there}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["erasure"], document["index"]["refs"]) == ("2+1", 1)
    shutil.rmtree(tmp_path / "other")
    assert run([*other, "init", "--join", "--backend", str(there)]) == 0
    text = capsys.readouterr().out
    folder = there.parent
    assert document["told"] == {
        name: {"url": str(folder / name), "by": ["d1"]} for name in ("d0", "d2")
    }
    assert f"\ntold by d1, not by you:\n  d0  {folder / 'd0'}\n  d2  {folder / 'd2'}\n" in text
    assert f"joined the store {document['id']}" in text
    assert run([*other, "get", "acme/m/a", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "a").read_bytes()


async def test_what_a_listing_passes_over_is_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a writer a listing may show a record, and not the one before."""
    real, passed = LocalBackend.list, set[str]()

    async def list_(self: LocalBackend, prefix: str = "") -> AsyncGenerator[Listed, None]:
        async for listed in real(self, prefix):
            first = parse_journal_key(listed.key)
            if first is None or first[1] != 1 or self.name + listed.key in passed:
                yield listed
            passed.add(self.name + listed.key)

    data = await shared(tmp_path)
    monkeypatch.setattr(LocalBackend, "list", list_)
    report = await join(tmp_path / "other", tmp_path / "s/backends/d0")
    assert passed
    assert (report.index.missing, report.index.exit_status) == ([], 0)
    assert differences(picture(tmp_path / "s"), picture(tmp_path / "other")) == []
    async with open_store(str(tmp_path / "other")) as store:
        assert await read(store, "acme/m/a") == data
        await store.gc(grace=0)


async def test_what_is_listed_and_compacted_meanwhile_is_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no backend decides nobody keeps others from it."""
    await shared(tmp_path)
    real = rebuild.take_inventory

    async with open_store(str(tmp_path / "s")) as store:

        async def inventory(*arguments: Any, **named: Any) -> Any:
            found = await real(*arguments, **named)
            await compacted(store)
            return found

        await many_records(store, 5)
        monkeypatch.setattr(rebuild, "take_inventory", inventory)
        report = await join(tmp_path / "other", tmp_path / "s/backends/d0")
        assert (report.index.missing, report.index.exit_status) == ([], 0)
        assert segments(tmp_path / "s")
    assert differences(picture(tmp_path / "s"), picture(tmp_path / "other")) == []


async def test_a_shard_stored_meanwhile_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One backend is slow to list its journals; a pack is stored and recorded until it does."""
    await shared(tmp_path)
    other = await another_site(tmp_path / "s", tmp_path / "other")
    weights(tmp_path / "b", 1_500_000, "b")
    real, shown = LocalBackend.list, trio.Event()

    async with open_store(str(tmp_path / "s")) as writing:

        async def list_(self: LocalBackend, prefix: str = "") -> AsyncGenerator[Listed, None]:
            if self.name == "d2" and prefix == "journal/":
                monkeypatch.setattr(LocalBackend, "list", real)
                with trio.move_on_after(0.3):
                    await shown.wait()
                await add(writing, tmp_path / "b", "acme/b")
            async for listed in real(self, prefix):
                yield listed
            if prefix == "packs/":
                shown.set()

        monkeypatch.setattr(LocalBackend, "list", list_)
        report = await rebuild_store(str(other))
        assert writing.find(parse_address("acme/b/b"))
    assert (report.missing_shards, report.missing, report.exit_status) == (0, [], 0)
