"""Histories that are pushed and pulled: what arrives is what was sent, commit by commit.

Two stores, one of them encrypted, are added to in turns and sent to each other, forwards or by
force. After each transfer the branch is the same on both sides: its commits in order with all that
they say, and every file of each. Whatever way a commit came, and how often, its id in a store is
one.
"""

import tempfile
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.formats.tree import EntryType
from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.transfer.counterparts import Counterparts, Table
from modelfloat.cas.transfer.report import Fate, TransferReport, TransferRequest
from modelfloat.cas.transfer.transfer import Transfer
from modelfloat.errors import ConflictError
from modelfloat.tests.support.encrypted import fresh_encrypted
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store, read

REPO = RepoName("acme", "model")
BRANCHES = st.sampled_from(["main", "dev"])
SIDES = st.sampled_from([0, 1])
ADDS = st.tuples(
    st.just("add"),
    SIDES,
    BRANCHES,
    st.sampled_from(["a", "b/c", "b/d"]),
    st.sampled_from([0, 10, 3000, 300_000]),
    st.integers(0, 2),
)
SENDS = st.tuples(st.just("send"), SIDES, BRANCHES, st.booleans())
STEPS = st.lists(st.one_of(ADDS, SENDS), min_size=3, max_size=9)


async def add(store: Store, folder: Path, branch: str, name: str, size: int, seed: int) -> None:
    source = folder / "source"
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(noise(f"{seed}", size))
    address = parse_address(f"{REPO}@{branch}/{name}")
    await store.add([str(path)], address)


async def history(store: Store, branch: str) -> list[tuple[object, ...]]:
    """What a branch is, from its head back to its first commit, without any id."""
    found: list[tuple[object, ...]] = []
    head = store.refs.head(REPO, RefKind.BRANCH, branch)
    commits = [] if head is None else [head.commit]
    while commits:
        commit = store.objects.commit(commits.pop())
        files = {
            name: await read(store, f"{REPO}@{branch}~{len(found)}/{name}")
            for name in _files(store, commit.tree)
        }
        found.append((commit.time_ns, commit.author, commit.message, files))
        commits += commit.parents
    return found


def _files(store: Store, tree: object, prefix: str = "") -> list[str]:
    names = []
    for entry in store.objects.directory(tree).entries():  # type: ignore[arg-type]
        name = prefix + entry.name.decode()
        if entry.type is EntryType.DIRECTORY:
            names += _files(store, entry.object, f"{name}/")
        else:
            names.append(name)
    return names


async def send(
    stores: tuple[Store, Store], table: Counterparts, side: int, branch: str, *, force: bool
) -> TransferReport:
    request = TransferRequest([parse_address(f"{REPO}@{branch}")], force=force)
    source, dest = stores[side], stores[1 - side]
    return await Transfer(source, dest, table, request, Progress()).run()


async def play(folder: Path, steps: list[tuple[object, ...]]) -> None:
    async with (
        fresh_store(folder / "plain", "2+1") as plain,
        fresh_encrypted(folder / "sealed") as sealed,
    ):
        stores = (plain, sealed)
        tables = [Table(str(folder / "table"), back=back) for back in (False, True)]
        for step in steps:
            if step[0] == "add":
                _, side, *rest = step
                await add(stores[side], folder, *rest)  # type: ignore[index,arg-type]
            else:
                await sent(stores, tables, *step[1:])  # type: ignore[arg-type]
        for table in tables:
            table.close()
        for store in stores:
            assert (await store.verify()).exit_status == 0


async def sent(
    stores: tuple[Store, Store], tables: list[Table], side: int, branch: str, force: bool
) -> None:
    source, dest = stores[side], stores[1 - side]
    mine, theirs = await history(source, branch), await history(dest, branch)
    if not mine:
        return
    try:
        report = await send(stores, tables[side], side, branch, force=force)
    except ConflictError:
        # Only where neither continues the other.
        assert not force
        assert mine[-len(theirs) :] != theirs
        assert theirs[-len(mine) :] != mine
        assert await history(dest, branch) == theirs
        return
    (ref,) = report.refs
    if ref.fate is Fate.AHEAD:
        assert theirs[-len(mine) :] == mine
        assert await history(dest, branch) == theirs
        return
    assert await history(dest, branch) == mine
    again = await send(stores, tables[side], side, branch, force=force)
    assert ([r.fate for r in again.refs], again.missing) == ([Fate.SAME], 0)
    back = await send(stores, tables[1 - side], 1 - side, branch, force=force)
    assert ([r.fate for r in back.refs], back.missing, back.commits) == ([Fate.SAME], 0, 0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_what_arrives_is_what_was_sent(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory(prefix="modelfloat-") as folder:
        trio.run(play, Path(folder), steps)
