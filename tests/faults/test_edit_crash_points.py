"""Killed, or failed, at every step of rm and mv of a path: the branch is as it was, or as it was to
be, and what is repeated goes through."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.store import Store
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Fault, each_step
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

FILES = {name: noise(name, 1_200_000) for name in ("kept", "gone")}
ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.fixture
async def template(tmp_path: Path) -> Path:
    """A store of 2+1 with two files in acme/model."""
    (tmp_path / "source").mkdir()
    for name, data in FILES.items():
        (tmp_path / "source" / name).write_bytes(data)
    async with fresh_store(tmp_path / "template", "2+1") as store:
        await add(store, tmp_path / "source")
    return tmp_path / "template"


def names(store: Store) -> set[str]:
    (head,) = store.refs.heads(store.refs.repositories()[0])
    tree = store.objects.commit(head.commit).tree
    return {entry.name.decode() for entry in store.objects.directory(tree).entries()}


async def check(path: Path, edited: set[str]) -> bool:
    """Whether the edit was made; everything that is there reads back, and nothing is damaged."""
    async with open_store(str(path)) as store:
        assert names(store) in ({"kept", "gone"}, edited)
        # Who writes next takes over what was recorded, and is not in the index.
        assert (await store.verify(repair=True)).exit_status in (0, 3)
        found = names(store)
        assert found in ({"kept", "gone"}, edited)
        for name in found:
            assert await read(store, f"acme/model/{name}") == FILES["gone" if name == "b" else name]
        assert (await store.verify()).exit_status == 0
        return found == edited


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize(
    ("words", "edited", "fault"),
    [
        (["rm", "acme/model/gone"], {"kept"}, "kill"),
        (["mv", "acme/model/gone", "acme/model/b"], {"kept", "b"}, "full"),
    ],
)
async def test_an_edit_is_struck(
    tmp_path: Path, template: Path, words: list[str], edited: set[str], fault: Fault, every: bool
) -> None:
    path = tmp_path / "store"
    with Crasher(tmp_path) as crasher:
        shutil.copytree(template, path)
        steps = crasher.run("--store", path, *words).steps
        assert await check(path, edited)
        assert len(steps) > 10
        for at in each_step(len(steps), all_of_them=every, sample=4):
            shutil.rmtree(path)
            shutil.copytree(template, path)
            struck = crasher.run("--store", path, *words, at=at, fault=fault)
            assert len(struck.complaints) <= 1, struck
            if not await check(path, edited):
                assert struck.status != 0
                again = crasher.run("--store", path, *words)
                # A record that was durable when it died counts, once the next writer has met it.
                assert again.status == 0 or "is not there" in again.err, again
                assert await check(path, edited)
