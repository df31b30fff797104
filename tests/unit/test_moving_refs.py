"""Refs move in one way: compared with what was seen, all at once, and the winner is named."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import NO_ID, RefChanged, RefKind
from modelfloat.cas.history.moving import RefMove, move_ref
from modelfloat.cas.refnames import RefHead, RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ExistsError, RefMovedError, UsageError, one_failure
from modelfloat.ids import ObjectId
from modelfloat.tests.support.stores import fresh_store

REPO = RepoName("acme", "model")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with a branch of two commits, `main`."""
    file = tmp_path / "file"
    async with fresh_store(tmp_path / "store", "2+1") as opened:
        for author in ("ann", "bob"):
            file.write_text(author)
            await opened.add([str(file)], parse_address(str(REPO)), author=author)
        yield opened


async def move(store: Store, *moves: RefMove) -> list[RefChanged]:
    with one_failure():
        async with store.access.writing("a test") as journal:
            return await move_ref(store.access, journal, moves)


def branch(seen: Sequence[RefHead], new: ObjectId | None, name: str = "main") -> RefMove:
    return RefMove(REPO, RefKind.BRANCH, name, tuple(seen), new)


def heads(store: Store, name: str = "main") -> tuple[RefHead, ...]:
    return store.refs.heads_of(REPO, RefKind.BRANCH, name)


async def test_several_refs_move_at_once(store: Store) -> None:
    first, last = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
    tag = RefMove(REPO, RefKind.TAG, "v1", (), last)
    changes = await move(store, branch(heads(store), first), branch((), last, "next"), tag)
    assert [change.new for change in changes] == [first, last, last]
    assert store.refs.resolve(REPO) == first
    assert store.refs.resolve(REPO, "v1") == store.refs.resolve(REPO, "next") == last


async def test_who_saw_an_older_head_is_told_who_won(store: Store, tmp_path: Path) -> None:
    seen, first = heads(store), store.refs.resolve(REPO, "main~1")
    (tmp_path / "file").write_text("the winner's")
    await store.add([str(tmp_path / "file")], parse_address("acme/model"), author="wendy")
    winner = store.refs.resolve(REPO)
    tag = RefMove(REPO, RefKind.TAG, "v1", (), first)
    with pytest.raises(RefMovedError, match=rf"moved meanwhile to {winner.hex()[:12]} by wendy at"):
        await move(store, tag, branch(seen, first))
    # None of them moved.
    assert store.refs.resolve(REPO) == winner
    assert store.refs.heads_of(REPO, RefKind.TAG, "v1") == ()


async def test_what_was_removed_meanwhile_is_told(store: Store) -> None:
    seen, first = heads(store), store.refs.resolve(REPO, "main~1")
    await store.remove(parse_address("acme/model@main"))
    with pytest.raises(RefMovedError, match="acme/model@main was removed meanwhile"):
        await move(store, branch(seen, first))


async def test_what_was_made_meanwhile_is_not_replaced(store: Store) -> None:
    first = store.refs.resolve(REPO, "main~1")
    with pytest.raises(RefMovedError, match="moved meanwhile"):
        await move(store, branch((), first))
    tag = RefMove(REPO, RefKind.TAG, "v1", (), first)
    await move(store, tag)
    with pytest.raises(ExistsError, match="has a tag v1 already"):
        await move(store, tag)


async def test_a_new_name_hides_no_other(store: Store) -> None:
    first = store.refs.resolve(REPO, "main~1")
    with pytest.raises(ExistsError, match="has a branch main"):
        await move(store, RefMove(REPO, RefKind.TAG, "main", (), first))
    for digits in (first.hex()[:8], first.hex()[:32].upper()):
        with pytest.raises(ExistsError, match="is a commit"):
            await move(store, branch((), first, digits))
    with pytest.raises(UsageError, match="cannot name a branch"):
        await move(store, branch((), first, "a~1"))


@pytest.mark.parametrize("kept", [True, False])
async def test_several_heads_become_one(store: Store, *, kept: bool) -> None:
    """One head is kept, or superseded by what the ref shall be; the others are taken away."""
    (head,) = heads(store)
    first = store.refs.resolve(REPO, "main~1")
    other = RefChanged(RefKind.BRANCH, "acme", "model", "main", NO_ID, ObjectId(NO_ID), first, 1)
    async with store.access.writing("another site") as journal:
        await journal.append([other])
    two = heads(store)
    assert len(two) == 2
    with pytest.raises(RefMovedError):
        await move(store, branch([head], first))
    if kept:
        await move(store, branch(two, head.commit))
        assert heads(store) == (head,)
    else:
        await move(store, branch(two, None))
        assert heads(store) == ()


async def test_what_is_left_behind_stays_for_its_grace(store: Store) -> None:
    """By a clock that was set back: the change is told as if it were the latest that is known."""
    first = store.refs.resolve(REPO, "main~1")
    ahead = store.index.last_change_ns() + 10**18
    told = RefChanged(RefKind.TAG, "acme", "model", "v1", NO_ID, ObjectId(NO_ID), first, ahead)
    async with store.access.writing("a clock that is ahead") as journal:
        await journal.append([told])
    last = store.refs.resolve(REPO)
    (back,) = await move(store, branch(heads(store), first))
    (forward,) = await move(store, branch(heads(store), last))
    assert back.time_ns == ahead + 1
    assert forward.time_ns < ahead


async def test_what_no_ref_reaches_is_not_named(store: Store) -> None:
    last = store.refs.resolve(REPO)
    await move(store, branch(heads(store), store.refs.resolve(REPO, "main~1")))
    tag = RefMove(REPO, RefKind.TAG, "v1", (), last, reached=True)
    with pytest.raises(RefMovedError, match="no ref of acme/model reaches"):
        await move(store, tag)
    await move(store, replace(tag, new=store.refs.resolve(REPO)))
