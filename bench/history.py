"""What a long history takes: `log`, `ls` and `diff` of a thousand commits beside git, and an `add`
of one changed file to it.

Every run is a process of its own, by turns; what `modelfloat --version` takes is taken off, for
that is Python's start. git has the same history of the same small files, packed.
"""

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import Run, alternate, run_command, say
from modelfloat.bench.histories import (
    REPOSITORY,
    content,
    make_git_history,
    make_history,
    paths,
)
from modelfloat.bench.ours import command, environment
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session

COMMITS: Final = 1_000
FILES: Final = 10_000
MOST: Final = 0.3
"""Seconds above `modelfloat --version`."""
MOST_TO_ADD: Final = 0.5
CHANGING: Final = ("add of one changed file", "rm of one file")
VERSION: Final = "--version"


def measure(session: Session) -> Report:
    """Each command by turns with the others."""
    with tempfile.TemporaryDirectory(
        prefix="modelfloat-bench-", dir=session.folder or "/var/tmp"
    ) as name:
        folder = Path(name)
        say(f"making {COMMITS:,} commits over {FILES:,} files")
        make_history(folder / "store", folder / "source", FILES, COMMITS)
        make_git_history(folder / "git", FILES, COMMITS)
        ours = _ours(folder / "store") | _edits(folder / "store", folder / "source")
        taken = alternate({**ours, **_gits(folder / "git")}, session.rounds)
    base = taken.pop(VERSION)
    figures = [Figure("modelfloat --version", "s", [run.seconds for run in base])]
    for what, runs in taken.items():
        if what.startswith("git"):
            figures.append(Figure(what, "s", [run.seconds for run in runs]))
        else:
            above = [run.seconds - less.seconds for run, less in zip(runs, base, strict=True)]
            most = MOST_TO_ADD if what in CHANGING else MOST
            figures.append(Figure(f"{what}, above --version", "s", above, most=most))
    notes = [
        f"{COMMITS:,} commits, each but the first of one changed file of {FILES:,}; 4+2",
        "the page cache is warm; git's repository is packed, its diffs are of trees alone",
    ]
    return Report("history", [[HEADER, *map(str, figures)]], notes)


def _ours(store: Path) -> dict[str, Callable[[], Run]]:
    file = paths(FILES)[0]
    wanted = {
        "log": ["log", REPOSITORY],
        "ls": ["ls", REPOSITORY],
        "ls of a folder": ["ls", "-l", f"{REPOSITORY}/{file.partition('/')[0]}"],
        "ls of the store": ["ls"],
        "diff of one commit": ["diff", f"{REPOSITORY}@main~1", REPOSITORY],
        "diff of half of all": ["diff", f"{REPOSITORY}@main~{COMMITS // 2}", REPOSITORY],
    }
    program = [command(), "--store", str(store)]
    runs = {what: _timed([*program, *words]) for what, words in wanted.items()}
    return {VERSION: _timed([command(), "--version"]), **runs}


def _edits(store: Path, source: Path) -> dict[str, Callable[[], Run]]:
    """An add of a file that has changed since the last one, and a file taken out."""
    named, program = paths(FILES), [command(), "--store", str(store)]
    changed, versions, gone = named[0], count(COMMITS), iter(named[1:])

    def add() -> Run:
        file = source / changed
        file.write_bytes(content(changed, next(versions)))
        return run_command([*program, "add", str(file), f"{REPOSITORY}/{changed}"], environment())

    def remove() -> Run:
        return run_command([*program, "rm", f"{REPOSITORY}/{next(gone)}"], environment())

    return dict(zip(CHANGING, (add, remove), strict=True))


def _gits(repository: Path) -> dict[str, Callable[[], Run]]:
    wanted = {
        "git log --shortstat": ["log", "--oneline", "--shortstat", "main"],
        "git ls-tree": ["ls-tree", "main"],
        "git diff --raw of half of all": ["diff", "--raw", f"main~{COMMITS // 2}", "main"],
    }
    program = ["git", "-C", str(repository), "--no-pager"]
    return {what: _timed([*program, *words]) for what, words in wanted.items()}


def _timed(argv: list[str]) -> Callable[[], Run]:
    return lambda: run_command(argv, environment())
