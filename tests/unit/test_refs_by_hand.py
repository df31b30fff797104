"""tag, branch and undo: what they make of refs, and what gc has taken."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import NO_ID, RefChanged, RefKind
from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ConflictError, ExistsError, NotFoundError
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support.encrypted import ALICE, make_encrypted
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import fresh_store, read

REPO = RepoName("acme", "model")


async def commit(store: Store, folder: Path, text: str, branch: str = "main") -> ObjectId:
    """One more commit, with the text in its one file."""
    (folder / "file").write_text(text)
    await store.add([str(folder / "file")], parse_address(f"{REPO}@{branch}"), author="ann")
    return store.refs.resolve(REPO, branch)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a branch of two commits."""
    async with fresh_store(tmp_path / "store", "2+1") as opened:
        await commit(opened, tmp_path, "one")
        await commit(opened, tmp_path, "two")
        yield opened


async def test_a_tag_stays_where_it_is(store: Store, tmp_path: Path) -> None:
    one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    await store.tag(REPO, "v1")
    await store.tag(REPO, "v0", "main~1")
    await commit(store, tmp_path, "three")
    assert [store.refs.resolve(REPO, tag) for tag in ("v0", "v1")] == [one, two]
    assert await read(store, "acme/model@v0/file") == b"one"
    for name, error in (("v1", "has a tag v1"), ("main", "has a branch main")):
        with pytest.raises(ExistsError, match=error):
            await store.tag(REPO, name)


async def test_a_branch_goes_on_and_with_force_anywhere(store: Store, tmp_path: Path) -> None:
    one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    await store.branch(REPO, "next", "main~1")
    assert store.refs.resolve(REPO, "next") == one
    with pytest.raises(ExistsError, match="name REV to move it"):
        await store.branch(REPO, "next")
    await store.branch(REPO, "next", "main")
    assert store.refs.resolve(REPO, "next") == two
    assert await store.branch(REPO, "next", "main") == []
    with pytest.raises(ConflictError, match="--force leaves them behind"):
        await store.branch(REPO, "next", "main~1")
    await store.branch(REPO, "next", one.hex(), force=True)
    assert await read(store, "acme/model@next/file") == b"one"


async def test_undo_and_undo_of_undo(store: Store) -> None:
    one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    for expected in (one, two, one):
        await store.undo(REPO)
        assert store.refs.resolve(REPO) == expected
    assert await read(store, "acme/model/file") == b"one"
    # Nothing was lost meanwhile: what no ref reaches has its name in the reflog.
    assert store.refs.resolve(REPO, two.hex()[:10]) == two
    changes = list(store.refs.changes(REPO))
    assert [change.new for change in changes] == [one, two, one, two, one]


async def test_undo_brings_back_what_rm_removed(store: Store) -> None:
    await store.tag(REPO, "v1")
    await store.branch(REPO, "next", "main~1")
    before = {(h.kind, h.ref, h.commit) for h in store.refs.heads(REPO)}
    await store.remove(parse_address("acme/model"))
    assert store.refs.heads(REPO) == []
    assert len(await store.undo(REPO)) == 3
    assert {(h.kind, h.ref, h.commit) for h in store.refs.heads(REPO)} == before
    await store.remove(parse_address("acme/model@v1"))
    await store.undo(REPO, "v1")
    assert {(h.kind, h.ref, h.commit) for h in store.refs.heads(REPO)} == before


async def test_undo_of_one_branch_leaves_the_others(store: Store, tmp_path: Path) -> None:
    await store.branch(REPO, "next", "main~1")
    three = await commit(store, tmp_path, "three")
    (change,) = await store.undo(REPO, "next")
    assert (change.ref, change.new) == ("next", NO_ID)
    assert [head.commit for head in store.refs.heads(REPO)] == [three]


async def test_what_gc_deleted_does_not_come_back(store: Store) -> None:
    two = store.refs.resolve(REPO)
    await store.undo(REPO)
    assert (await store.gc(grace=0)).deleted > 0
    with pytest.raises(NotFoundError, match="acme/model@main had is gone"):
        await store.undo(REPO)
    with pytest.raises(NotFoundError, match="no branch, tag or commit"):
        await store.branch(REPO, "back", two.hex())
    assert await read(store, "acme/model/file") == b"one"


async def test_what_is_within_its_grace_comes_back(store: Store) -> None:
    await store.remove(parse_address("acme/model"))
    await store.gc()
    await store.undo(REPO)
    assert await read(store, "acme/model/file") == b"two"


async def test_heads_made_one_are_not_two_again(store: Store) -> None:
    one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    other = RefChanged(RefKind.BRANCH, "acme", "model", "main", NO_ID, ObjectId(NO_ID), one, 1)
    async with store.access.writing("another site") as journal:
        await journal.append([other])
    with pytest.raises(ConflictError, match="has several heads"):
        await store.undo(REPO)
    with pytest.raises(ConflictError, match="has several heads"):
        await store.tag(REPO, "v1")
    await store.branch(REPO, "main", two.hex()[:12])
    assert store.refs.resolve(REPO) == two
    with pytest.raises(ConflictError, match="made several heads one"):
        await store.undo(REPO)


async def test_undo_of_one_branch_whose_heads_became_a_third(store: Store) -> None:
    """Whichever of the changes that did it comes first: the ids of several branches differ."""
    one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    branches = [f"b{number}" for number in range(6)]
    changes = [
        RefChanged(RefKind.BRANCH, "acme", "model", name, NO_ID, ObjectId(NO_ID), one, time)
        for name in branches
        for time in (1, 2)
    ]
    async with store.access.writing("other sites") as journal:
        await journal.append(changes)
    for name in branches:
        await store.branch(REPO, name, "main")
        with pytest.raises(ConflictError, match="made several heads one"):
            await store.undo(REPO, name)
        assert store.refs.resolve(REPO, name) == two


async def test_the_reflog_survives_a_rebuild(tmp_path: Path) -> None:
    """On another site, whose index is made from the journal alone."""
    path = tmp_path / "store"
    async with fresh_store(path, "2+1") as store:
        await commit(store, tmp_path, "one")
        await commit(store, tmp_path, "two")
        await store.tag(REPO, "v1")
        await store.undo(REPO, "main")
        await store.remove(parse_address("acme/model@v1"))
        known = list(store.refs.changes(REPO))
    await another_site(path, tmp_path / "there")
    async with open_store(str(tmp_path / "there")) as there:
        assert list(there.refs.changes(REPO)) == known
        await there.undo(REPO, "main")
        assert await read(there, "acme/model/file") == b"two"


async def test_an_encrypted_store_has_all_of_it(tmp_path: Path) -> None:
    await make_encrypted(tmp_path / "store")
    async with open_store(str(tmp_path / "store"), secret=ALICE) as store:
        one = await commit(store, tmp_path, "one")
        await commit(store, tmp_path, "two")
        await store.tag(REPO, "v1")
        await store.undo(REPO, "main")
        assert store.refs.resolve(REPO) == one
        assert await read(store, "acme/model@v1/file") == b"two"
