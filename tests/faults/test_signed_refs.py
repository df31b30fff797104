"""Where signatures are required nothing is shown but what a trusted key signed, and nothing older
than what was seen; whoever writes to the backends can take away, but not put in place of."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.formats.journal import NO_ID, JournalEntry, RefChanged, RefKind
from modelfloat.cas.history.moving import RefMove, move_ref
from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import (
    ConflictError,
    DamageError,
    IndexDamagedError,
    ModelFloatError,
    NotFoundError,
    SignatureError,
)
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.compacting import compacted, journal_files, segments
from modelfloat.tests.support.encrypted import KEYS, make_encrypted
from modelfloat.tests.support.forging import hide_records, records, replace_chunk, rewrite
from modelfloat.tests.support.signers import (
    made_branch,
    record_signed,
    requiring,
    signer,
    signing,
    trust,
)
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights

REPO = RepoName("acme", "model")
FILE = "acme/model/file"


async def made(path: Path, *, encrypted: bool = False) -> StoreKeys | None:
    """A new store at `path` that trusts signer 1; its keys."""
    if encrypted:
        await make_encrypted(path)
    else:
        async with fresh_store(path, "2+1"):
            pass
    trust(path, 1)
    return KEYS if encrypted else None


async def put(store: Store, folder: Path, text: str, address: str = "acme/model") -> None:
    file = folder / "file"
    file.write_text(text)
    await add(store, file, address)


async def joined(path: Path, folder: Path) -> Path:
    """Another site, which trusts signer 1 too."""
    await another_site(path, folder)
    trust(folder, 1)
    return folder


@pytest.mark.parametrize("encrypted", [False, True])
async def test_what_a_trusted_key_signed_is_shown(tmp_path: Path, encrypted: bool) -> None:
    """Here, on another site, after the index was made anew, and with commits by their ids."""
    path = tmp_path / "s"
    keys = await made(path, encrypted=encrypted)
    async with signing(path, 1, keys) as store:
        await put(store, tmp_path, "one")
        first = store.refs.resolve(REPO)
        await put(store, tmp_path, "two")
    async with requiring(path, keys) as store:
        assert await read(store, FILE) == b"two"
        assert await read(store, f"acme/model@{first.hex()[:12]}/file") == b"one"
        assert await read(store, "acme/model@main~1/file") == b"one"
    if not encrypted:
        other = await joined(path, tmp_path / "other")
        async with requiring(other) as store:
            assert await read(store, FILE) == b"two"
    shutil.rmtree(path / "index")
    await rebuild_store(str(path), keys=keys)
    async with requiring(path, keys) as store:
        assert await read(store, FILE) == b"two"


@pytest.mark.parametrize(("by", "said"), [(None, "is not signed"), (2, "which is not trusted")])
async def test_what_nobody_trusted_signed_is_not(tmp_path: Path, by: int | None, said: str) -> None:
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "right")
    async with requiring(path) as store:
        assert await read(store, FILE) == b"right"
    async with signing(path, by) if by else open_store(str(path)) as store:
        await put(store, tmp_path, "wrong")
        wrong = store.refs.resolve(REPO)
    async with requiring(path) as store:
        for name in (FILE, "acme/model@main~1/file", f"acme/model@{wrong.hex()}/file"):
            with pytest.raises(SignatureError, match=said):
                await read(store, name)
    trust(path, 1, 2)
    async with requiring(path) as store:
        if by:
            assert await read(store, FILE) == b"wrong"
        else:
            with pytest.raises(SignatureError, match=said):
                await read(store, FILE)


async def test_a_store_that_trusts_no_key_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await made(path)
    trust(path)
    with pytest.raises(ModelFloatError, match="trusts no key"):
        async with requiring(path):
            pass


def to_other(commit: ObjectId) -> Callable[[JournalEntry], JournalEntry]:
    """The signed changes of main point at another commit."""

    def change(entry: JournalEntry) -> JournalEntry:
        if isinstance(entry, RefChanged) and entry.signature is not None:
            return replace(entry, new=commit)
        return entry

    return change


def renamed(entry: JournalEntry) -> JournalEntry:
    """The signed changes are of another branch."""
    if isinstance(entry, RefChanged) and entry.signature is not None:
        return replace(entry, ref="next")
    return entry


def dated(entry: JournalEntry) -> JournalEntry:
    """The signed changes are later ones."""
    if isinstance(entry, RefChanged) and entry.signature is not None:
        return replace(entry, time_ns=entry.time_ns + 1)
    return entry


def signed_by_another(entry: JournalEntry) -> JournalEntry:
    """Another key's signature, under the name of the one that is trusted."""
    if isinstance(entry, RefChanged) and entry.signature is not None:
        store = bytes(16)
        forged = signer(2).sign(store, entry).signature  # type: ignore[arg-type]
        assert forged is not None
        return replace(entry, signature=replace(forged, key=signer(1).key))
    return entry


def unsigned(entry: JournalEntry) -> JournalEntry:
    """Signatures are taken off."""
    return replace(entry, signature=None) if isinstance(entry, RefChanged) else entry


@pytest.mark.parametrize("how", ["to_other", "renamed", "dated", "signed_by_another", "unsigned"])
async def test_a_forged_ref_shows_nothing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "s"
    await made(path)
    async with open_store(str(path)) as store:
        await put(store, tmp_path, "wrong", "acme/model@evil")
        evil = store.refs.resolve(REPO, "evil")
    async with signing(path, 1) as store:
        await put(store, tmp_path, "right")
    rewrite(path, to_other(evil) if how == "to_other" else globals()[how])
    other = await joined(path, tmp_path / "other")
    shown = "acme/model@next/file" if how == "renamed" else FILE
    said = "is not signed" if how == "unsigned" else "somebody forged it"
    async with requiring(other) as store:
        with pytest.raises(SignatureError, match=said):
            await read(store, shown)
        with pytest.raises(SignatureError):
            store.refs.heads(REPO)
    async with open_store(str(other)) as store:  # without signatures nobody would know
        assert await read(store, shown) == (b"wrong" if how == "to_other" else b"right")


async def test_a_signature_of_another_store_is_worth_nothing(tmp_path: Path) -> None:
    """The same ref, commit and time; but its owner signed it in a store of theirs."""
    change = RefChanged(RefKind.BRANCH, "a", "b", "c", NO_ID, ObjectId(NO_ID), ObjectId(NO_ID), 1)
    from modelfloat.cas.signing.signer import is_right
    from modelfloat.ids import StoreId

    one, other = StoreId(bytes(16)), StoreId(bytes(15) + b"\1")
    signed = signer(1).sign(one, change)
    assert is_right(one, signed)
    assert not is_right(other, signed)
    assert not is_right(one, change)


async def test_who_hides_what_came_later_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        early = max(record.seq for record in records(path).values())
        await put(store, tmp_path, "two")
    async with requiring(path) as store:
        assert await read(store, FILE) == b"two"
    hide_records(path, early)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    async with requiring(path) as store:
        with pytest.raises(SignatureError, match="older than what was seen here before"):
            await read(store, FILE)
    # Who has never seen more cannot tell: that is what `seen-refs` is for.
    async with requiring(await joined(path, tmp_path / "other")) as store:
        assert await read(store, FILE) == b"one"
    async with signing(path, 1) as store:
        await put(store, tmp_path, "three")
    async with requiring(path) as store:
        assert await read(store, FILE) == b"three"


async def test_a_ref_put_back_to_an_earlier_commit_is_no_older_record(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        for text in ("one", "two"):
            await put(store, tmp_path, text)
    async with requiring(path) as store:
        assert await read(store, FILE) == b"two"
    async with signing(path, 1) as store:
        await move(store, "main", store.refs.resolve(REPO, "main~1"))
    async with requiring(path) as store:
        assert await read(store, FILE) == b"one"


async def move(
    store: Store, ref: str, new: ObjectId | None, kind: RefKind = RefKind.BRANCH
) -> None:
    async with store.access.writing("a test") as journal:
        seen = tuple(store.index.ref(REPO, kind, ref))
        await move_ref(store.access, journal, [RefMove(REPO, kind, ref, seen, new)])


async def test_what_was_left_behind_is_found_if_it_was_signed(tmp_path: Path) -> None:
    """By its digits: a branch that was moved back reaches neither any more."""
    path = tmp_path / "s"
    await made(path)
    commits = []
    for by, text in ((1, "one"), (1, "two"), (None, "three")):
        async with signing(path, by) if by else open_store(str(path)) as store:
            await put(store, tmp_path, text)
            commits.append(store.refs.resolve(REPO))
    async with signing(path, 1) as store:
        await move(store, "main", commits[0])
        assert await read(store, f"acme/model@{commits[2].hex()[:12]}/file") == b"three"
    async with requiring(path) as store:
        for commit, text in zip(commits[:2], (b"one", b"two"), strict=True):
            assert await read(store, f"acme/model@{commit.hex()[:12]}/file") == text
        with pytest.raises(NotFoundError, match="has no branch, tag or commit"):
            await read(store, f"acme/model@{commits[2].hex()[:12]}/file")


async def test_only_a_signed_removal_removes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        commit = store.refs.resolve(REPO)
        await move(store, "v1", commit, RefKind.TAG)
    async with requiring(path) as store:
        for name in (FILE, "acme/model@v1/file"):
            assert await read(store, name) == b"one"
    async with signing(path, 1) as store:
        await move(store, "main", None)
    async with open_store(str(path)) as store:
        await move(store, "v1", None, RefKind.TAG)
    async with requiring(path) as store:
        with pytest.raises(NotFoundError):
            await read(store, FILE)
        with pytest.raises(SignatureError, match="no key that is trusted signed its removal"):
            await read(store, "acme/model@v1/file")
    async with signing(path, 1) as store:
        await move(store, "v1", commit, RefKind.TAG)
        await put(store, tmp_path, "anew")
    async with requiring(path) as store:
        assert await read(store, "acme/model@v1/file") == b"one"
        assert await read(store, FILE) == b"anew"


async def test_a_signed_removal_of_another_head_removes_no_ref(tmp_path: Path) -> None:
    """One of two heads goes, signed; then somebody takes the other away who may not."""
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        first, head = store.refs.resolve(REPO), store.refs.head(REPO, RefKind.BRANCH, "main")
        assert head is not None
    async with requiring(path) as store:
        assert await read(store, FILE) == b"one"
    async with signing(path, 1) as store:
        second = await record_signed(store, made_branch(first))
        gone = replace(second, previous=second.id, old=first, new=ObjectId(NO_ID), time_ns=1)
        await record_signed(store, gone)
    async with requiring(path) as store:
        assert await read(store, FILE) == b"one"
    async with open_store(str(path)) as store:
        await move(store, "main", None)
    async with requiring(path) as store:
        with pytest.raises(SignatureError, match="signed its removal"):
            await read(store, FILE)


async def test_what_somebody_took_away_is_missed_where_all_is_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A listing without it would say that it was removed."""
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        for name in ("acme/model", "acme/model@next", "other/model"):
            await put(store, tmp_path, "one", name)
    async with requiring(path) as store:
        assert store.refs.repositories() == [REPO, RepoName("other", "model")]
    async with open_store(str(path)) as store:
        await store.remove(parse_address("acme/model@next"))
        await store.remove(parse_address("other/model"))
    async with requiring(path) as store:
        assert store.refs.repositories() == [REPO]
        for name in ("acme/model@next", "other/model@main"):
            assert f"{name} is gone, and no key that is trusted signed its removal" in caplog.text
        caplog.clear()
        assert store.refs.repositories() == [REPO]
        assert not caplog.records
        assert store.refs.vendors() == ["acme", "other"]
        assert [head.ref for head in store.refs.heads(REPO)] == ["main"]
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one", "other/model")
    async with requiring(path) as store:
        assert RepoName("other", "model") in store.refs.repositories()
    async with signing(path, 1) as store:
        await store.remove(parse_address("other/model"))
    async with requiring(path) as store:
        assert store.refs.vendors() == ["acme"]
        assert store.refs.repositories() == [REPO]


async def test_undo_signs_nothing_that_nobody_had_signed(tmp_path: Path) -> None:
    """Where signatures are required, the one by which somebody undoes is worth as much."""
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "right")
        right = store.refs.resolve(REPO)
    async with open_store(str(path)) as store:
        await put(store, tmp_path, "wrong")
    async with signing(path, 1) as store:
        await move(store, "main", right)
    both = open_store(str(path), signing=lambda: signer(1), require_signature=True)
    async with both as store:
        with pytest.raises(SignatureError, match="no ref is made to point there"):
            await store.undo(REPO)
        await put(store, tmp_path, "more")
        await store.undo(REPO)
        assert store.refs.resolve(REPO) == right
    async with requiring(path) as store:
        assert await read(store, FILE) == b"right"


async def test_two_signed_heads_are_a_conflict_until_one_is_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        await put(store, tmp_path, "two")
        one, two = store.refs.resolve(REPO, "main~1"), store.refs.resolve(REPO)
        await record_signed(store, made_branch(one))
    async with requiring(path) as store:
        with pytest.raises(ConflictError, match="several heads"):
            await read(store, FILE)
        assert {head.commit for head in store.refs.heads(REPO)} == {one, two}
    async with signing(path, 1) as store:
        await move(store, "main", two)
    async with requiring(path) as store:
        assert await read(store, FILE) == b"two"


async def test_times_of_signed_changes_only_grow(tmp_path: Path) -> None:
    """Whatever clocks say: with a clock set back, and after a removal by one that was ahead."""
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        commit = store.refs.resolve(REPO)
        ahead = RefChanged(
            RefKind.TAG, *("acme", "model", "v1"), NO_ID, ObjectId(NO_ID), commit, 1 << 62
        )
        soon = replace(ahead, ref="v2", time_ns=store.index.last_change_ns() + 10**15)
        async with store.access.writing("a test") as journal:
            await journal.append([ahead, store.access.signed(soon, 0)])
        # Who is a century ahead dates nobody else's changes.
        for _ in range(2):
            await move(store, "v2", None, RefKind.TAG)
            await move(store, "v2", commit, RefKind.TAG)
        times = [c.time_ns for c in store.index.reflog() if c.ref == "v2"]
    assert times == sorted(times)
    assert len(set(times)) == 5
    assert max(times) < 1 << 62


@pytest.mark.parametrize(
    ("what", "where"),
    [
        *((what, "backends") for what in ("commit", "tree", "manifest", "chunk")),
        *((what, "index") for what in ("commit", "tree", "manifest")),
    ],
)
async def test_below_a_signed_commit_nothing_can_be_replaced(
    tmp_path: Path, what: str, where: str
) -> None:
    """By anybody who rewrites packs and journals with every checksum right, or the mirror."""
    path = tmp_path / "s"
    await made(path)
    right, wrong = tmp_path / "right" / "file", tmp_path / "wrong" / "file"
    for file in (right, wrong):
        file.parent.mkdir()
        weights(file, 100_000, file.parent.name)
    async with open_store(str(path)) as store:
        await add(store, wrong, "acme/model@evil")
    async with signing(path, 1) as store:
        await add(store, right)
        mine, evil = pieces(store, "main"), pieces(store, "evil")
        content = wrong.read_bytes() if what == "chunk" else store.objects.raw(evil[what])
        if where == "index":
            store.index.put_objects({mine[what]: content})
    shown = path
    if where == "backends":
        replace_chunk(path, mine[what], content)
        shown = await joined(path, tmp_path / "other")
    async with requiring(shown) as store:
        with pytest.raises((DamageError, IndexDamagedError)) as told:
            await read(store, FILE)
        print(what, where, told.value)
    async with open_store(str(shown)) as store:
        if where == "backends":
            assert await read(store, "acme/model@evil/file") == wrong.read_bytes()


def pieces(store: Store, rev: str) -> dict[str, ObjectId]:
    """A commit's id, its tree's, its file's manifest's and that one's first chunk's."""
    commit = store.refs.resolve(REPO, rev)
    entry = store.find(parse_address(f"acme/model@{rev}/file"))
    recipe = store.objects.recipe(store.objects.manifest(entry.object))
    first = next(iter(recipe.spans(0, 1)))
    tree = store.objects.commit(commit).tree
    return {"commit": commit, "tree": tree, "manifest": entry.object, "chunk": ObjectId(first.id)}


@pytest.mark.parametrize("encrypted", [False, True])
async def test_segments_keep_signatures(tmp_path: Path, encrypted: bool) -> None:
    """Of heads and of removals, also where the index is made from segments alone."""
    path = tmp_path / "s"
    keys = await made(path, encrypted=encrypted)
    async with signing(path, 1, keys) as store:
        for text in ("one", "two"):
            await put(store, tmp_path, text)
        await move(store, "v1", store.refs.resolve(REPO), RefKind.TAG)
    async with requiring(path, keys) as store:
        assert await read(store, "acme/model@v1/file") == b"two"
    async with signing(path, 1, keys) as store:
        await move(store, "v1", None, RefKind.TAG)
        assert (await compacted(store)).records > 2
    assert len(segments(path)) == len(journal_files(path)) == 1
    shutil.rmtree(path / "index")
    await rebuild_store(str(path), keys=keys)
    async with requiring(path, keys) as store:
        assert await read(store, FILE) == b"two"
        assert await read(store, "acme/model@main~1/file") == b"one"
        with pytest.raises(NotFoundError):
            await read(store, "acme/model@v1/file")


async def test_a_record_that_is_written_anew_keeps_its_signature(tmp_path: Path) -> None:
    """All its copies are lost; the index still knows what it said."""
    path = tmp_path / "s"
    await made(path)
    async with signing(path, 1) as store:
        await put(store, tmp_path, "one")
        await put(store, tmp_path, "two")
    last = max(records(path).values(), key=lambda record: record.seq)
    for file, record in records(path).items():
        if record.seq == last.seq - 1:
            file.unlink()
    async with open_store(str(path)) as store:
        await store.verify(repair=True)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    async with requiring(path) as store:
        assert await read(store, FILE) == b"two"
        assert await read(store, "acme/model@main~1/file") == b"one"
