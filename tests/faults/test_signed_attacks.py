"""What somebody can do with signed changes that he cannot make: show them again, hide some of them,
or put names beside them that nobody signed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import NO_ID, JournalEntry, RefChanged, RefKind
from modelfloat.cas.history.moving import RefMove, move_ref
from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ConflictError, ModelFloatError, NotFoundError, SignatureError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.forging import rewrite
from modelfloat.tests.support.signers import made_branch, requiring, signing, trust
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read

REPO = RepoName("acme", "model")
FILE = "acme/model/file"
NEXT = "acme/model@next/file"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A new store that trusts signers 1 and 2."""
    async with fresh_store(tmp_path / "s", "2+1"):
        pass
    trust(tmp_path / "s", 1, 2)
    return tmp_path / "s"


async def put(path: Path, by: int, text: str, address: str = "acme/model") -> None:
    (path.parent / "file").write_text(text)
    async with signing(path, by) as store:
        await add(store, path.parent / "file", address)


async def remove(path: Path, by: int, ref: str) -> None:
    async with signing(path, by) as store, store.access.writing("a test") as journal:
        seen = tuple(store.index.ref(REPO, RefKind.BRANCH, ref))
        await move_ref(store.access, journal, [RefMove(REPO, RefKind.BRANCH, ref, seen, None)])


async def show_again(path: Path, *changes: RefChanged) -> None:
    """Record changes as somebody without a key does, signed or not."""
    async with open_store(str(path)) as store, store.access.writing("a test") as journal:
        await journal.append(changes)


def change_of(store: Store, ref: str) -> RefChanged:
    (head,) = store.index.ref(REPO, RefKind.BRANCH, ref)
    change = store.index.change(head.time_ns, head.change)
    assert change is not None
    return change


async def shown(path: Path, name: str) -> bytes | ModelFloatError:
    """What somebody sees who requires signatures."""
    async with requiring(path) as store:
        try:
            return await read(store, name)
        except ModelFloatError as error:
            return error


async def hide(path: Path, gone: RefChanged) -> None:
    """Take a change out of all journals, and have the index made anew."""

    def without(entry: JournalEntry) -> JournalEntry | None:
        return None if isinstance(entry, RefChanged) and entry.id == gone.id else entry

    rewrite(path, without)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))


async def test_what_was_removed_is_not_shown_again(path: Path, tmp_path: Path) -> None:
    """By the signed change that had made it, here and by who joined later."""
    await put(path, 1, "one")
    await put(path, 1, "old", "acme/model@next")
    async with requiring(path) as store:
        assert await read(store, NEXT) == b"old"
        made = change_of(store, "next")
    await remove(path, 1, "next")
    await show_again(path, made)
    other = await another_site(path, tmp_path / "other")
    trust(other, 1)
    for each in (path, other):
        assert isinstance(await shown(each, NEXT), NotFoundError)
        assert await shown(each, FILE) == b"one"


async def test_a_removal_of_an_earlier_one_removes_nothing(path: Path) -> None:
    """Made, removed, made again: who hides the last has a signed removal to show."""
    await put(path, 1, "one")
    for text in ("old", "new"):
        await put(path, 1, text, "acme/model@next")
        if text == "old":
            await remove(path, 1, "next")
    assert await shown(path, NEXT) == b"new"
    async with open_store(str(path)) as store:
        last = change_of(store, "next")
    await hide(path, last)
    refusal = await shown(path, NEXT)
    assert isinstance(refusal, SignatureError)
    assert "is gone, and no key" in str(refusal)


async def test_who_hides_a_change_in_between_shows_nothing_older(path: Path) -> None:
    """The one before looks like another head, and both were signed."""
    changes = []
    for text in ("one", "two", "three"):
        await put(path, 1, text)
        async with open_store(str(path)) as store:
            changes.append(change_of(store, "main"))
    await show_again(path, changes[0])
    assert await shown(path, FILE) == b"three"
    await hide(path, changes[1])
    assert isinstance(await shown(path, FILE), ConflictError)
    async with signing(path, 1) as store:
        await store.branch(REPO, "main", changes[2].new.hex(), force=True)
    assert await shown(path, FILE) == b"three"


async def test_a_key_that_is_trusted_no_more_vouches_for_nothing(path: Path) -> None:
    """Neither for what it made nor for what it removed; another signer can take that back."""
    await put(path, 1, "one")
    await put(path, 1, "next", "acme/model@next")
    assert await shown(path, FILE) == b"one"
    assert await shown(path, NEXT) == b"next"
    await put(path, 2, "two")
    await remove(path, 2, "next")
    trust(path, 1)
    for name, said in ((FILE, "which is not trusted here"), (NEXT, "no key that is trusted")):
        refusal = await shown(path, name)
        assert isinstance(refusal, SignatureError)
        assert said in str(refusal)
    async with signing(path, 1) as store:
        await store.undo(REPO, "main")
        await store.undo(REPO, "next")
    assert await shown(path, FILE) == b"one"
    assert await shown(path, NEXT) == b"next"


@pytest.mark.parametrize("name", ["v1", "digits"])
async def test_a_name_that_nobody_signed_hides_nothing(path: Path, name: str) -> None:
    """A branch of a signed tag's name, or of a commit's digits, comes first: it is refused, and not
    shown in their place."""
    await put(path, 1, "one")
    async with signing(path, 1) as store:
        await store.tag(REPO, "v1")
        one = store.refs.resolve(REPO)
    await put(path, 1, "two")
    ref = one.hex()[:12] if name == "digits" else name
    assert await shown(path, f"acme/model@{ref}/file") == b"one"
    async with open_store(str(path)) as store:
        two = store.refs.resolve(REPO)
    await show_again(path, replace(made_branch(two), ref=ref))
    refusal = await shown(path, f"acme/model@{ref}/file")
    assert isinstance(refusal, SignatureError)
    assert "is not signed" in str(refusal)


async def test_what_was_renamed_is_not_shown_under_its_old_name(path: Path) -> None:
    await put(path, 1, "one", "acme/old")
    assert await shown(path, "acme/old/file") == b"one"
    async with open_store(str(path)) as store:
        (head,) = store.refs.heads(RepoName("acme", "old"))
        change = store.index.change(head.time_ns, head.change)
        assert change is not None
    async with signing(path, 1) as store:
        await store.move(parse_address("acme/old"), parse_address("acme/model"))
    other = replace(change, vendor="acme", name="third", previous=NO_ID)
    await show_again(path, change, other)
    assert isinstance(await shown(path, "acme/old/file"), NotFoundError)
    assert isinstance(await shown(path, "acme/third/file"), SignatureError)
    assert await shown(path, FILE) == b"one"
