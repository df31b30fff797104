"""Sites as a user sees them: which there are, one that is gone is forgotten, and comes back."""

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfloat.api import Store as Api
from modelfloat.backends.keys import news_key, site_key
from modelfloat.cas.add.committing import Committer
from modelfloat.cas.formats.journal import JournalEntry, RefChanged
from modelfloat.cas.formats.presence import MOST_OPEN, Presence, PresenceRecord, encode_presence
from modelfloat.cas.gc import elsewhere
from modelfloat.cas.journal.follower import Follower
from modelfloat.cas.journal.journal import Journal
from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cas.lease import mounts
from modelfloat.cas.lease.others import knows_others
from modelfloat.cas.lease.sites import AGAIN, own_site
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.sites.listing import SiteStatus
from modelfloat.cas.store import Store
from modelfloat.cli.main import run
from modelfloat.cli.site import row
from modelfloat.config import read_config
from modelfloat.errors import BusyError, NotFoundError, UnavailableError, UsageError
from modelfloat.ids import ObjectId, SiteId
from modelfloat.opening import open_store
from modelfloat.tests.support.ages import grow_old
from modelfloat.tests.support.encrypted import ALICE, make_encrypted
from modelfloat.tests.support.listings import noted_listings
from modelfloat.tests.support.sites import another_site, without_conditional_puts
from modelfloat.tests.support.stores import add, fresh_store, read, weights

AGES = 1e6
"""Seconds: nobody follows within this test but who is told to."""


@pytest.fixture(autouse=True)
def at_once_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0)


async def sites(tmp_path: Path, *names: str) -> list[Path]:
    """The folders of a store's first site and of further ones called `names`; files `a` and `b`,
    of which the store has the first as acme/m."""
    for name in "ab":
        weights(tmp_path / name, 300_000, name)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/m")
    grow_old((tmp_path / "s/backends").glob("*/journal/*/*"), 3600)
    return [tmp_path / "s", *[await another_site(tmp_path / "s", tmp_path / n) for n in names]]


def id_of(folder: Path) -> SiteId:
    return own_site(str(folder / "locks"))


def records(tmp_path: Path, site: SiteId) -> list[Path]:
    """What lies on the backends of a site's own."""
    keys = (site_key(site), news_key(site))
    return sorted(p for key in keys for p in (tmp_path / "s/backends").glob(f"*/{key}"))


def lay_mount(tmp_path: Path, record: PresenceRecord) -> None:
    """A mount's record, which nobody renews, on the first backend."""
    path = tmp_path / "s/backends/d0" / f"sessions/{record.owner.hex()}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_presence(record))


def mount_of(store: Store, site: SiteId, files: int) -> PresenceRecord:
    opened = tuple(ObjectId(secrets.token_bytes(32)) for _ in range(min(files, MOST_OPEN)))
    owner = secrets.token_bytes(16)
    return PresenceRecord(Presence.MOUNT, store.id, site, owner, files, mounts.TERM, open=opened)


async def follow(store: Store, follower: Follower | None = None) -> None:
    """Take over what others have done, as if nobody had lately."""
    (Path(store.path) / "locks" / STAMP).unlink(missing_ok=True)
    await (follower or store.access.follower).catch_once(AGES)


async def listed(store: Store) -> dict[SiteId, SiteStatus]:
    return {status.id: status for status in (await store.sites()).sites}


async def test_sites_tell_who_is_at_work_and_what_they_wrote(tmp_path: Path) -> None:
    here, other, idle = await sites(tmp_path, "other", "idle")
    async with open_store(str(here)) as store, open_store(str(other)) as there:
        await add(there, tmp_path / "b", "acme/n")
        lay_mount(tmp_path, mount_of(store, id_of(idle), 3))
        grow_old(records(tmp_path, id_of(idle)), 5 * AGAIN)
        async with there.access.in_session("a test"):
            found = await listed(store)
        assert len(found) == 3
        assert next(iter(found)) == id_of(here)
        own, writes, reads = found[id_of(here)], found[id_of(other)], found[id_of(idle)]
        assert (own.here, own.heard, own.writers, own.mounts) == (True, 0, 0, 0)
        assert (writes.here, writes.writers, writes.mounts) == (False, 1, 0)
        assert (reads.writers, reads.mounts, reads.open_files) == (0, 1, 3)
        assert reads.heard is not None
        assert reads.heard < 60
        assert writes.last is not None
        assert writes.last.refs == ("acme/n@main",)
        assert reads.last is None


async def test_what_this_folder_wrote_it_knows_without_news(tmp_path: Path) -> None:
    """Who has no others tells none."""
    weights(tmp_path / "b", 300_000, "b")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "b", "acme/n")
        (own,) = (await listed(store)).values()
        assert own.last is not None
        assert own.last.refs == ("acme/n@main",)
        assert row(own)[3].endswith("  acme/n@main")
        assert row(replace(own, last=None))[3] == "–"


@pytest.mark.parametrize(
    ("text", "raised", "says"),
    [
        ("abc", UsageError, "abc is no site: give 4 digits of its id or more"),
        ("../../x", UsageError, "is no site"),
        ("0" * 32, NotFoundError, f"no site {'0' * 32} is known"),
        ("own", UsageError, "is this folder's own site"),
    ],
)
async def test_what_is_no_other_site_is_not_forgotten(
    tmp_path: Path, text: str, raised: type[Exception], says: str
) -> None:
    (here,) = await sites(tmp_path)
    async with open_store(str(here)) as store:
        with pytest.raises(raised, match=says):
            await store.forget_site(id_of(here).hex() if text == "own" else text, force=True)


async def test_digits_of_several_sites_name_none(tmp_path: Path) -> None:
    (here,) = await sites(tmp_path)
    async with open_store(str(here)) as store:
        two = [SiteId(b"\xab\xcd" + bytes([n]) * 14) for n in range(2)]
        for site in two:
            path = tmp_path / "s/backends/d0" / site_key(site)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"whatever")
            grow_old([path], 5 * AGAIN)
        with pytest.raises(UsageError, match=r"abcd may be any of abcd0000.*, abcd0101.*; more"):
            await store.forget_site("ABCD")
        assert (await store.forget_site("abcd01")).id == two[1]
        assert set(await listed(store)) == {id_of(here), two[0]}


async def test_who_is_at_work_is_forgotten_by_force_only(tmp_path: Path) -> None:
    here, other = await sites(tmp_path, "other")
    gone = id_of(other)
    async with open_store(str(here)) as store, open_store(str(other)) as there:
        with pytest.raises(BusyError, match="was heard of within the last day; if its folder is"):
            await store.forget_site(gone.hex())
        async with there.access.in_session("a test"):
            grow_old(records(tmp_path, gone), 5 * AGAIN)
            with pytest.raises(BusyError, match=f"{gone.hex()[:8]} writes to the store"):
                await store.forget_site(gone.hex())
        lay_mount(tmp_path, mount_of(store, gone, 1))
        with pytest.raises(BusyError, match="has the store mounted"):
            await store.forget_site(gone.hex()[:8])
        assert gone in await listed(store)
        done = await store.forget_site(gone.hex()[:8], force=True)
        assert (done.id, done.left) == (gone, ())
        assert set(await listed(store)) == {id_of(here)}
        assert not records(tmp_path, gone)
        assert not list((tmp_path / "s/backends").glob("*/sessions/*"))
        assert not knows_others(str(here / "locks"))


async def test_one_that_is_gone_keeps_nobody_from_collecting(tmp_path: Path) -> None:
    """Without a ref home, or with that down, nothing was deleted until it had been away for 90
    days; and what a mount had open, more than it could name, kept everything for a day."""
    here, other = await sites(tmp_path, "other")
    async with open_store(str(here)) as store:
        without_conditional_puts(store)
        lay_mount(tmp_path, mount_of(store, id_of(other), MOST_OPEN + 1))
        await store.remove(parse_address("acme/m"))
        shutil.rmtree(other)
        with pytest.raises(UnavailableError, match="if those folders are gone for good, `modelfl"):
            await store.gc(grace=0)
        (gone,) = set(await listed(store)) - {id_of(here)}
        await store.forget_site(gone.hex(), force=True)
        assert (await store.gc(grace=0)).deleted
        assert (await store.verify()).exit_status == 0


async def test_what_a_forgotten_site_recorded_is_known_first(tmp_path: Path) -> None:
    """Who knows of nobody else looks for no records: its next commit would not follow theirs."""
    here, other = await sites(tmp_path, "other")
    async with open_store(str(other)) as there:
        await add(there, tmp_path / "b", "acme/m")
    async with open_store(str(here)) as store:
        await store.forget_site(id_of(other).hex(), force=True)
        assert await read(store, "acme/m/b") == (tmp_path / "b").read_bytes()
        weights(tmp_path / "c", 300_000, "c")
        await add(store, tmp_path / "c", "acme/m")
        assert len(list(store.index.refs())) == 1
        assert await read(store, "acme/m/b") == (tmp_path / "b").read_bytes()


async def test_a_forgotten_site_that_writes_is_known_again(tmp_path: Path) -> None:
    here, other, third = await sites(tmp_path, "other", "third")
    data = weights(tmp_path / "c", 300_000, "c")
    async with open_store(str(here)) as store, open_store(str(other)) as there:
        await add(there, tmp_path / "b", "acme/n")
        for folder in (other, third):
            await store.forget_site(id_of(folder).hex(), force=True)
        assert set(await listed(store)) == {id_of(here)}
        await store.remove(parse_address("acme/n"))
        assert (await store.gc(grace=0)).deleted
        report = await add(there, tmp_path / "b", "acme/again")  # what it knew stored is not there
        assert report.new
        assert set(await listed(store)) == {id_of(here), id_of(other)}
        await add(store, tmp_path / "c", "acme/again")
        assert knows_others(str(here / "locks"))
        for each in (store, there):
            await follow(each)
            assert await read(each, "acme/again/b") == (tmp_path / "b").read_bytes()
            assert await read(each, "acme/again/c") == data
            assert len(list(each.index.refs())) == 2
        assert (await there.verify()).exit_status == 0


async def test_who_is_forgotten_while_it_adds_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right before it looks at what others did, and between that look and the move of its ref: then
    it would not see any more that what it stored is gone."""
    here, other = await sites(tmp_path, "other")
    async with open_store(str(here)) as store, open_store(str(other)) as there:
        move, append, done = Committer._move, Journal.append, list[str]()

        async def forget(when: str) -> None:
            done.append(when)
            if id_of(other) in await listed(store):
                await store.forget_site(id_of(other).hex(), force=True)
            assert (await store.gc(grace=0)).deleted == 0

        async def moving(self: Committer, *arguments: object) -> bool:
            if "before" not in done:
                await forget("before")
            return await move(self, *arguments)  # type: ignore[arg-type]

        async def recording(
            self: Journal, entries: Sequence[JournalEntry], *arguments: object
        ) -> None:
            if "after" not in done and any(isinstance(each, RefChanged) for each in entries):
                await forget("after")
            await append(self, entries, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Committer, "_move", moving)
        monkeypatch.setattr(Journal, "append", recording)
        await add(there, tmp_path / "b", "acme/n")
        assert done == ["before", "after"]
        async with there.access.in_session("a test"):
            pass  # its next command tells of it
        await follow(store)
        for each in (store, there):
            assert await read(each, "acme/n/b") == (tmp_path / "b").read_bytes()
            assert (await each.verify()).exit_status == 0


async def test_a_forgotten_site_that_only_reads_is_told_again(tmp_path: Path) -> None:
    """Who writes, and knows of nobody, tells no news: so who follows announces itself."""
    here, other = await sites(tmp_path, "other")
    async with open_store(str(here)) as store, open_store(str(other)) as watching:
        follower = watching.access.follower
        await follower.catch_once(AGES)
        await store.forget_site(id_of(other).hex(), force=True)
        for _ in range(3):
            await follow(watching, follower)
        assert len(records(tmp_path, id_of(other))) == 3
        await add(store, tmp_path / "b", "acme/n")
        assert records(tmp_path, id_of(here))[-1].parent.name == "sites"
        await follow(watching, follower)
        assert await read(watching, "acme/n/b") == (tmp_path / "b").read_bytes()


async def test_a_forgotten_site_that_comes_back_sees_what_was_done_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody told it news of that: it looks through the journals once, and not each time."""
    here, other = await sites(tmp_path, "other")
    async with open_store(str(here)) as store:
        await store.forget_site(id_of(other).hex(), force=True)
        await add(store, tmp_path / "b", "acme/n")
    assert [path.parent.name for path in records(tmp_path, id_of(here))] == ["sites"] * 3
    async with open_store(str(other), refresh=AGES) as watching:
        await follow(watching)
        assert await read(watching, "acme/n/b") == (tmp_path / "b").read_bytes()
        asked = noted_listings(monkeypatch)
        for _ in range(5):
            await follow(watching)  # whichever backend it asks
        assert asked == ["sites/"] * 5


async def test_a_backend_that_was_away_knows_it_still(tmp_path: Path) -> None:
    here, other = await sites(tmp_path, "other")
    gone = id_of(other)
    grow_old(records(tmp_path, gone), 5 * AGAIN)
    marker = tmp_path / "s/backends/d2/modelfloat.json"
    marker.rename(tmp_path / "away")
    async with open_store(str(here)) as store:
        assert (await store.sites()).unasked == ("d2",)
        assert (await store.forget_site(gone.hex())).left == ("d2",)
    (tmp_path / "away").rename(marker)
    async with open_store(str(here)) as store:
        assert gone in await listed(store)
        assert (await store.forget_site(gone.hex())).left == ()
        assert set(await listed(store)) == {id_of(here)}


async def test_a_folder_put_back_from_a_copy_leaves_the_old_site_behind(tmp_path: Path) -> None:
    here, other = await sites(tmp_path, "other")
    shutil.copytree(other, tmp_path / "copy")
    gone = id_of(other)
    shutil.rmtree(other)
    async with open_store(str(tmp_path / "copy")) as store:
        await add(store, tmp_path / "b", "acme/n")
        assert set(await listed(store)) == {id_of(here), id_of(tmp_path / "copy"), gone}
        grow_old(records(tmp_path, gone), 5 * AGAIN)
        await store.forget_site(gone.hex())
        assert set(await listed(store)) == {id_of(here), id_of(tmp_path / "copy")}


@pytest.fixture
def two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """Two sites by the command line; the second has added acme/n."""
    weights(tmp_path / "b", 300_000, "b")
    here, other = tmp_path / "s", tmp_path / "other"
    assert run(["--store", str(here), "--quiet", "init", "--erasure", "2+1"]) == 0
    urls = [f"--backend={b.name}={here / b.url}" for b in read_config(str(here)).backends]
    assert run(["--store", str(other), "--quiet", "init", "--join", *urls]) == 0
    assert run(["--store", str(other), "--quiet", "add", str(tmp_path / "b"), "acme/n"]) == 0
    capsys.readouterr()
    return here, other


def said(capsys: pytest.CaptureFixture[str], store: Path, *arguments: str) -> str:
    assert run(["--store", str(store), "site", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_lists_and_forgets(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    here, other = two
    assert not knows_others(str(here / "locks"))
    head, own, line = said(capsys, here, "ls").splitlines()
    assert head.split("  ")[0] == "site"
    assert head.endswith("last wrote")
    assert own.split() == [id_of(here).hex()[:8], "this", "folder", "–", "–"]
    assert line.startswith(id_of(other).hex()[:8])
    assert line.endswith("acme/n@main")
    assert run(["--store", str(here), "ls"]) == 0
    assert "acme/n " in capsys.readouterr().out, "who was shown is followed from then on"
    document: Any = json.loads(said(capsys, here, "ls", "--json"))
    assert [each["here"] for each in document["sites"]] == [True, False]
    assert document["sites"][1]["refs"] == ["acme/n@main"]
    assert document["unasked"] == []
    assert run(["--store", str(here), "site", "forget", id_of(other).hex()]) == 1
    assert "within the last day" in capsys.readouterr().err
    name = id_of(other).hex()[:8]
    done = said(capsys, here, "forget", name, "--force")
    assert done == f"site {name} forgotten; what it stored stays\n"
    assert len(said(capsys, here, "ls").splitlines()) == 2


def test_the_api_lists_and_forgets(two: tuple[Path, Path]) -> None:
    here, other = two
    with Api(here) as store:
        assert [each.id for each in store.sites().sites] == [id_of(here), id_of(other)]
        assert store.forget_site(id_of(other).hex(), force=True).left == ()
        assert [each.id for each in store.sites().sites] == [id_of(here)]


async def test_without_its_key_an_encrypted_store_tells_no_names(tmp_path: Path) -> None:
    here = tmp_path / "s"
    weights(tmp_path / "b", 300_000, "b")
    await make_encrypted(here)
    other = await another_site(here, tmp_path / "other", ALICE)
    async with open_store(str(other), secret=ALICE) as there:
        await add(there, tmp_path / "b", "acme/n")
    async with open_store(str(here)) as store:
        last = (await listed(store))[id_of(other)].last
        assert last is not None
        assert last.refs == ()
        assert last.time_ns
    async with open_store(str(here), secret=ALICE) as store:
        last = (await listed(store))[id_of(other)].last
        assert last is not None
        assert last.refs == ("acme/n@main",)
