"""What a killed writer left on the backends of its session: it goes when the next command of its
folder has taken over what it left, and not before; who collects elsewhere waits until then."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.backends.keys import parse_session_key, session_key
from modelfloat.cas.formats.presence import Presence, PresenceRecord, encode_presence
from modelfloat.cas.journal import catchup
from modelfloat.cas.journal.slots import given_up, read_slot
from modelfloat.cas.lease.clock import boottime
from modelfloat.cas.lease.sessions import TERM, end_session
from modelfloat.cas.packs.members import Members
from modelfloat.ids import Key, SiteId, StoreId, WriterId
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights

FILES = ("a", "b", "c")


@pytest.fixture
async def files(tmp_path: Path) -> dict[str, bytes]:
    """The store `s` of 2+1 with acme/a, shared by the site `other`, of the files `a`, `b`, `c`."""
    found = {name: weights(tmp_path / name, 300_000, name) for name in FILES}
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
    await another_site(tmp_path / "s", tmp_path / "other")
    return found


def sessions(tmp_path: Path) -> set[WriterId | None]:
    paths = (tmp_path / "s/backends").glob("*/sessions/*")
    return {parse_session_key(Key(f"sessions/{path.name}")) for path in paths}


def kill_add(tmp_path: Path, crasher: Crasher) -> WriterId:
    """Have an add of `b` killed whose first record is durable and unknown to the index; whose slot
    that was."""
    command = ("--store", tmp_path / "s", "add")
    steps = crasher.run(*command, tmp_path / "c", "acme/c").steps
    recorded = next(at for at, step in enumerate(steps) if " journal/" in step)
    unknown = next(at for at in range(recorded, len(steps)) if steps[at].startswith("index begin"))
    died = crasher.run(*command, tmp_path / "b", "acme/b", at=unknown)
    assert died.status == -9, died
    slot = read_slot(str(tmp_path / "s/locks/writer-0"))
    assert slot is not None
    assert slot.closed is None
    assert sessions(tmp_path) == {slot.writer}
    return slot.writer


async def settle(tmp_path: Path) -> None:
    """What every command does that writes."""
    async with open_store(str(tmp_path / "s")) as store, store.access.writing("a test", told=False):
        pass


async def test_gc_elsewhere_waits_until_the_next_command_here(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    with Crasher(tmp_path) as crasher:
        kill_add(tmp_path, crasher)
        collect = ("--store", tmp_path / "other", "gc", "--grace", "0")
        refused = crasher.run(*collect)
        assert refused.status == 1
        assert "writes to the store" in refused.err
        tag = crasher.run("--store", tmp_path / "s", "tag", "acme/a", "v1")
        assert tag.status == 0, tag
        assert crasher.run(*collect).status == 0
        again = crasher.run("--store", tmp_path / "s", "add", tmp_path / "b", "acme/b")
        assert again.status == 0, again
    for site in ("s", "other"):
        async with open_store(str(tmp_path / site)) as store:
            async with store.access.writing("a look", told=False) as journal:
                await journal.take_over()
            for name in FILES:
                assert await read(store, f"acme/{name}/{name}") == files[name]
            report = await store.verify()
            assert (report.exit_status, report.problems) == (0, [])


async def test_it_goes_when_all_that_it_guarded_is_taken_over(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Crasher(tmp_path) as crasher:
        writer = kill_add(tmp_path, crasher)
    locks, seen = str(tmp_path / "s/locks"), list[int]()
    async with open_store(str(tmp_path / "s")) as store:
        known, _ = store.index.writer(writer)

        async def look(members: Members, site: SiteId, ended: WriterId) -> None:
            assert ended == writer
            seen.append(store.index.writer(writer)[0])
            assert given_up(locks)[writer] == seen[-1]
            # Who is killed here finds the slot as it was, and does it once more.
            slot = read_slot(f"{locks}/writer-0")
            assert slot is not None
            assert (slot.writer, slot.closed) == (writer, None)
            await end_session(members, site, ended)

        monkeypatch.setattr(catchup, "end_session", look)
        async with store.access.writing("a test", told=False):
            assert sessions(tmp_path) == set()
    assert seen == [known + 1]


async def test_of_one_at_work_nothing_goes(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Its slot is held; only that of the killed one, in another slot, is settled."""
    with Crasher(tmp_path) as crasher:
        killed = kill_add(tmp_path, crasher)
        shutil.move(tmp_path / "s/locks/writer-0", tmp_path / "s/locks/writer-1")
        async with (
            open_store(str(tmp_path / "s")) as one,
            one.access.in_session("a test") as (journal, _),
        ):
            assert sessions(tmp_path) - {killed} == {journal.writer}
            assert crasher.run("--store", tmp_path / "s", "tag", "acme/a", "v1").status == 0
            assert sessions(tmp_path) == {journal.writer}


def as_of_another_site(tmp_path: Path, store: StoreId, writer: WriterId) -> None:
    """The folder is a copy, and the slot that of the one which it was copied from."""
    record = PresenceRecord(Presence.SESSION, store, SiteId(b"e" * 16), bytes(writer), 0, TERM)
    for path in (tmp_path / "s/backends").glob(f"*/{session_key(writer)}"):
        path.write_bytes(encode_presence(record))


def as_before_the_start(tmp_path: Path, _store: StoreId, _writer: WriterId) -> None:
    """The disk is a copy, and the machine was started since."""
    slot = tmp_path / "s/locks/writer-0"
    long_ago = slot.stat().st_mtime - boottime() - 1
    os.utime(slot, (long_ago, long_ago))


def as_beside_one_that_is_down(tmp_path: Path, _store: StoreId, _writer: WriterId) -> None:
    """It may have another record of that writer, that nobody has taken over."""
    down = next(iter(sorted((tmp_path / "s/backends").iterdir())))
    (down / "modelfloat.json").rename(down / "gone")


@pytest.mark.parametrize(
    "change", [as_of_another_site, as_before_the_start, as_beside_one_that_is_down]
)
async def test_where_it_may_be_needed_it_stays(
    tmp_path: Path, files: dict[str, bytes], change: Callable[[Path, StoreId, WriterId], None]
) -> None:
    with Crasher(tmp_path) as crasher:
        writer = kill_add(tmp_path, crasher)
    async with open_store(str(tmp_path / "s")) as store:
        id_ = store.id
    change(tmp_path, id_, writer)
    await settle(tmp_path)
    slot = read_slot(str(tmp_path / "s/locks/writer-0"))
    assert slot is not None
    assert slot.writer != writer
    assert sessions(tmp_path) == {writer}
