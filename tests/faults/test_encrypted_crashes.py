"""Encrypted stores, killed at steps of add, gc and restripe and gone on with: all comes back, and
no key and nonce is ever used for two texts."""

import hashlib
import shutil
from pathlib import Path

import pytest

from modelfloat.tests.support.crashing import Crasher, each_step
from modelfloat.tests.support.encrypted import WORDS, fresh_encrypted, unlocked
from modelfloat.tests.support.stores import add, read, shard_files, weights

SAMPLE = 3
COMMANDS = [
    ["add", "{new}", "acme/new"],
    ["gc", "--grace", "0"],
    ["restripe", "--erasure", "1+2"],
]


class Texts:
    """What was encrypted under each pack's key: its shards' bytes, whenever they were there."""

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def note(self, store: Path) -> None:
        """Look at all shards that are there now; none is another text than it was."""
        for file in shard_files(store):
            shard = "/".join(file.parts[-2:])
            digest = hashlib.sha256(file.read_bytes()).digest()
            assert self._seen.setdefault(shard, digest) == digest


@pytest.fixture
async def template(tmp_path: Path) -> dict[str, bytes]:
    """A store of 2+1 in which a gc has something to delete and to copy."""
    names = ("old", "gone", "new")
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in names}
    (tmp_path / "words").write_text(WORDS)
    async with fresh_encrypted(tmp_path / "template") as store:
        await add(store, tmp_path / "old", "acme/old")
        await add(store, tmp_path / "gone", "acme/gone")
    return files


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
async def test_killed_and_gone_on_with(
    tmp_path: Path, template: dict[str, bytes], command: list[str], every: bool
) -> None:
    work = [word.format(new=tmp_path / "new") for word in command]
    with Crasher(tmp_path) as crasher:

        def run(store: Path, arguments: list[str], at: int | None = None) -> list[str]:
            opened = ("--store", store, "--passphrase-file", tmp_path / "words")
            ran = crasher.run(*opened, *arguments, at=at)
            assert ran.struck or ran.status == 0, ran
            return ran.steps

        run(tmp_path / "template", ["rm", "acme/gone"])
        steps = run(fresh(tmp_path), work)
        for at in each_step(len(steps), all_of_them=every, sample=SAMPLE):
            store, texts = fresh(tmp_path), Texts()
            texts.note(store)
            run(store, work, at)
            texts.note(store)
            run(store, work)
            texts.note(store)
            run(store, ["gc", "--grace", "0"])
            texts.note(store)
            await check(store, template, added=command[0] == "add")


def fresh(tmp_path: Path) -> Path:
    """A copy of the template, in the same place each time."""
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    return shutil.copytree(tmp_path / "template", tmp_path / "store")


async def check(path: Path, files: dict[str, bytes], *, added: bool) -> None:
    async with unlocked(path) as store:
        assert await read(store, "acme/old/old") == files["old"]
        if added:
            assert await read(store, "acme/new/new") == files["new"]
        assert (await store.verify()).exit_status == 0
