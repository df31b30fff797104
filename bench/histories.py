"""A repository with a long history: many commits, each of which changed one of many small files.

Made once in one process by ordinary adds, so that what commits, packs and journal records are there
is what as many commands would leave; and, for comparison, the same history in git.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio

from modelfloat.bench.harness import say
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store

REPOSITORY: Final = "acme/long"
FOLDERS: Final = 100
_SIZE: Final = 1_000
"""Bytes of a file, about."""


def paths(files: int) -> list[str]:
    """Where the files lie: in a hundred folders, one after the other."""
    return [f"part-{n % FOLDERS:02}/file-{n // FOLDERS:05}.json" for n in range(files)]


def content(path: str, version: int) -> bytes:
    """What a file has in one of its versions: text that no other has."""
    return (f'{{"path": "{path}", "version": {version}}}\n' * (_SIZE // 40)).encode()


def changes(files: int, commits: int) -> Iterator[tuple[str, int]]:
    """For each commit but the first which file it changes, and to which version."""
    named = paths(files)
    for number in range(1, commits):
        yield named[number * 7919 % files], number


def make_tree(folder: Path, files: int) -> Path:
    """The files as the first commit has them."""
    for path in paths(files):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content(path, 0))
    return folder


def make_history(store: Path, source: Path, files: int, commits: int) -> None:
    """Make a store with the repository acme/long: as many commits over as many files; `source` is
    a folder for them, and has the last version of each at the end."""
    make_tree(source, files)
    trio.run(_fill, store, source, files, commits)


async def _fill(store: Path, source: Path, files: int, commits: int) -> None:
    await create_store(str(store), Scheme(4, 2), (), reserve=0)
    async with open_store(str(store)) as engine:
        await engine.add([str(source)], parse_address(REPOSITORY), author="bench")
        for number, (path, version) in enumerate(changes(files, commits), 2):
            (source / path).write_bytes(content(path, version))
            target = parse_address(f"{REPOSITORY}/{path}")
            await engine.add([str(source / path)], target, author="bench", message=f"change {path}")
            if number % 100 == 0:
                say(f"{number:,} of {commits:,} commits")


def make_git_history(repository: Path, files: int, commits: int) -> None:
    """The same history as a git repository, by fast-import, packed as `git gc` leaves it."""
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    done = subprocess.Popen(
        ["git", "-C", str(repository), "fast-import", "--quiet"], stdin=subprocess.PIPE
    )
    assert done.stdin is not None
    with done.stdin as stream:
        for part in _stream(files, commits):
            stream.write(part)
    if done.wait():
        raise subprocess.CalledProcessError(done.returncode, "git fast-import")
    subprocess.run(["git", "-C", str(repository), "gc", "-q"], check=True, env=os.environ)


def _stream(files: int, commits: int) -> Iterator[bytes]:
    yield _commit(1, "add all")
    for path in paths(files):
        yield _file(path, 0)
    for number, (path, version) in enumerate(changes(files, commits), 2):
        yield _commit(number, f"change {path}")
        yield _file(path, version)


def _commit(number: int, message: str) -> bytes:
    said = message.encode()
    return (
        b"commit refs/heads/main\n"
        + f"committer bench <bench> {1_700_000_000 + number} +0000\n".encode()
        + f"data {len(said)}\n".encode()
        + said
        + b"\n"
    )


def _file(path: str, version: int) -> bytes:
    data = content(path, version)
    return f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
