"""What an add asks of the backends when other sites share them: no more than the protocol needs."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelfloat.backends.keys import parse_journal_key
from modelfloat.backends.local import LocalBackend
from modelfloat.cas.add.committing import Committer
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.gc import elsewhere
from modelfloat.cas.history.moving import Moves
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.sharing import Sharing
from modelfloat.cas.store import Store
from modelfloat.ids import Key, PackId
from modelfloat.opening import open_store
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, flip_bit, fresh_store, read, weights

BACKENDS = 3
COPIES = 2
Asked = list[tuple[str, str]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Every call of a backend from now on: what, and of which key."""
    calls: Asked = []

    def note(name: str) -> None:
        real = getattr(LocalBackend, name)

        def noted(self: LocalBackend, key: Key, *args: Any, **options: Any) -> Any:
            calls.append((name, key))
            return real(self, key, *args, **options)

        monkeypatch.setattr(LocalBackend, name, noted)

    for name in ("put", "get", "head", "age", "delete", "list"):
        note(name)
    return calls


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """Two sites that have met, of which the first lacks what the second has recorded last."""
    for name in "abc":
        weights(tmp_path / name, 1_000_000, name)
    async with fresh_store(tmp_path / "s", "2+1") as here:
        await add(here, tmp_path / "a", "acme/a")
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            await add(there, tmp_path / "b", "acme/b")
            await add(here, tmp_path / "a", "acme/again")
            await add(there, tmp_path / "c", "acme/c")
            yield here, there


def lately(here: Store, there: Store) -> dict[Key, bytes]:
    """The copies of records that the second site knows and the first does not."""
    found: dict[Key, bytes] = {}
    for folder in (Path(member.backend.properties.url) for member in here.members):
        for path in (folder / "journal").glob("*/*"):
            key = Key(f"journal/{path.parent.name}/{path.name}")
            parsed = parse_journal_key(key)
            if parsed is not None and here.index.writer(parsed[0])[0] < parsed[1]:
                assert parsed[1] <= there.index.writer(parsed[0])[0]
                found[key] = path.read_bytes()
    return found


def packs_of(store: Store) -> set[str]:
    """The keys of all shards on the backends."""
    folders = [Path(member.backend.properties.url) for member in store.members]
    return {str(p.relative_to(folder)) for folder in folders for p in folder.glob("packs/*/*/*")}


def forget_sessions(store: Store) -> None:
    """Take away what tells others that somebody is at work."""
    for member in store.members:
        for path in Path(member.backend.properties.url).glob("sessions/*"):
            path.unlink()


def pack_id(key: str) -> PackId:
    """Whose shard lies at that key."""
    return PackId(bytes.fromhex(key.split("/")[2]))


async def test_an_add_lists_no_more_than_it_must(
    tmp_path: Path, sites: tuple[Store, Store], asked: Asked
) -> None:
    here, _ = sites
    asked.clear()
    await add(here, tmp_path / "b", "acme/b2")
    writers = {key for what, key in asked if what == "list" and key.count("/") == 2}
    listed = Counter(key for what, key in asked if what == "list")
    own = {key: BACKENDS for key in writers if key.startswith("journal/")}
    assert listed == {
        "sites/": BACKENDS,
        "condemned/": 2 * BACKENDS,
        "journal/": 2 * BACKENDS,
        "lease/": 1,
        "lease/refs/": 1,
        **own,
    }
    assert len(own) == 1


async def test_each_copy_of_what_others_recorded_is_read_once(
    tmp_path: Path, sites: tuple[Store, Store], asked: Asked
) -> None:
    here, there = sites
    new = lately(here, there)
    asked.clear()
    await add(here, tmp_path / "b", "acme/b2")
    assert {Counter(asked)["get", key] for key in new} == {1}
    assert {Counter(asked)["head", key] for key in new} == {0}
    assert not [key for what, key in asked if what == "put" and key in new]
    # Nor is anything asked for that no listing shows.
    theirs = {key.rpartition("/")[0] for key in new}
    assert {key for _, key in asked if key.rpartition("/")[0] in theirs} == set(new)
    assert len(new) % COPIES == 0
    assert await read(here, "acme/c/c") == (tmp_path / "c").read_bytes()


async def test_objects_of_others_are_read_without_a_look_at_their_shards(
    tmp_path: Path, sites: tuple[Store, Store], asked: Asked
) -> None:
    here, there = sites
    packs = {pack_id(key) for key in packs_of(here)}
    new = [id_ for id_ in packs if here.index.pack_of_id(id_) is None]
    assert new
    assert all(there.index.pack_of_id(id_) for id_ in new)
    asked.clear()
    await add(here, tmp_path / "b", "acme/b2")
    assert all(here.index.pack_of_id(id_) for id_ in new)
    assert not [key for what, key in asked if key.startswith("packs/") and what != "put"]


async def test_objects_of_others_are_read_past_a_damaged_shard(
    tmp_path: Path, sites: tuple[Store, Store]
) -> None:
    here, there = sites
    damaged = 0
    for key in packs_of(here):
        pack = there.index.pack_of_id(pack_id(key))
        lacks = here.index.pack_of_id(pack_id(key)) is None
        if pack is not None and lacks and pack.kind is Kind.OBJECT and key.endswith("/0-1-1"):
            for member in here.members:
                path = Path(member.backend.properties.url) / key
                if path.exists():
                    flip_bit(path, 10)
                    damaged += 1
    assert damaged
    await add(here, tmp_path / "b", "acme/b2")
    assert await read(here, "acme/c/c") == (tmp_path / "c").read_bytes()


async def test_a_copy_that_is_missing_is_made_again(
    tmp_path: Path, sites: tuple[Store, Store]
) -> None:
    here, there = sites
    new = lately(here, there)
    for key in new:
        if parse_journal_key(key)[2] == 1:  # type: ignore[index]
            for member in here.members:
                (Path(member.backend.properties.url) / key).unlink(missing_ok=True)
    await add(here, tmp_path / "b", "acme/b2")
    for key, data in new.items():
        found = [Path(member.backend.properties.url) / key for member in here.members]
        assert [path.read_bytes() for path in found if path.exists()] == [data]


async def test_what_a_commit_consists_of_is_one_record(
    tmp_path: Path, sites: tuple[Store, Store], asked: Asked
) -> None:
    here, there = sites
    await add(here, tmp_path / "b", "acme/b2")
    asked.clear()
    (tmp_path / "small").write_bytes(b"a few bytes")
    await add(here, tmp_path / "small", "acme/b2")
    puts = [key for what, key in asked if what == "put" and key.startswith("journal/")]
    assert len(puts) == COPIES
    await add(there, tmp_path / "b", "acme/b3")
    assert await read(there, "acme/b2/small") == b"a few bytes"


async def test_a_race_is_lost_once_and_costs_no_other_turn(
    tmp_path: Path, sites: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = sites
    await add(here, tmp_path / "b", "acme/both")
    real, turns = Sharing.refs, 0

    @contextlib.asynccontextmanager
    async def late(self: Sharing, *args: Any) -> AsyncIterator[Any]:
        nonlocal turns
        if self.index is here.index:
            turns += 1
            await add(there, tmp_path / "c", "acme/both")
        async with real(self, *args) as fence:
            yield fence

    monkeypatch.setattr(Sharing, "refs", late)
    await add(here, tmp_path / "a", "acme/both")
    assert turns == 1
    for name in "abc":
        assert await read(here, f"acme/both/{name}") == (tmp_path / name).read_bytes()
    repo = parse_address("acme/both").repo
    head = here.refs.resolve(repo, None)
    parents = []
    while found := here.objects.commit(head).parents:
        parents.append(found)
        head = found[0]
    assert [len(each) for each in parents] == [1, 1]


async def test_a_pack_not_recorded_yet_is_stored_again_where_gc_elsewhere_took_it_for_an_orphan(
    tmp_path: Path, sites: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a machine slept, for longer than its session counts, while it waited for its turn:
    gc then knows neither the session nor the pack."""
    here, there = sites
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0)
    real, deleted = Committer._move, []

    async def slept(self: Committer, moves: Moves) -> None:
        if self._w.index is here.index and not deleted:
            forget_sessions(here)
            deleted.append((await there.gc(grace=0)).orphans)
        await real(self, moves)

    monkeypatch.setattr(Committer, "_move", slept)
    (tmp_path / "small").write_bytes(b"a few bytes")
    await add(here, tmp_path / "small", "acme/b2")
    assert deleted[0] > 0
    assert await read(here, "acme/b2/small") == b"a few bytes"
    report = await here.verify()
    assert (report.exit_status, report.problems) == (0, [])
