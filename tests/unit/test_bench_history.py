"""The long history of the benches is what it says, in a store and in git."""

import subprocess
from pathlib import Path

import trio

from modelfloat.bench.histories import REPOSITORY, changes, content, make_git_history, make_history
from modelfloat.cas.refnames import parse_address
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import read

FILES, COMMITS = 12, 4


async def test_a_history_has_its_commits_and_files(tmp_path: Path) -> None:

    await trio.to_thread.run_sync(
        make_history, tmp_path / "store", tmp_path / "source", FILES, COMMITS
    )
    last = dict(changes(FILES, COMMITS))
    assert len(last) == COMMITS - 1
    async with open_store(str(tmp_path / "store")) as store:
        repo = parse_address(REPOSITORY).repo
        first = store.objects.commit(store.refs.resolve(repo, f"main~{COMMITS - 1}"))
        assert first.parents == ()
        for path, version in last.items():
            assert await read(store, f"{REPOSITORY}/{path}") == content(path, version)
            old = await read(store, f"{REPOSITORY}@main~{COMMITS - 1}/{path}")
            assert old == content(path, 0)


def test_git_has_the_same(tmp_path: Path) -> None:
    make_git_history(tmp_path / "git", FILES, COMMITS)

    def git(*words: str) -> bytes:
        done = subprocess.run(
            ["git", "-C", str(tmp_path / "git"), *words], check=True, capture_output=True
        )
        return done.stdout

    assert len(git("log", "--oneline", "main").splitlines()) == COMMITS
    for path, version in dict(changes(FILES, COMMITS)).items():
        assert git("show", f"main:{path}") == content(path, version)
