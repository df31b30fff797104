"""How fast a folder of many small files goes in and is walked: beside restic and tar.

200,000 files of about 4 KiB, random bytes, over 200 folders. Everybody adds them, is given them
again unchanged, and lists them all with their sizes; ModelFloat lists them through a fresh mount,
by find, which looks up and stats every file. The clock covers whole processes; for ModelFloat's
listing it covers find, and the memory is the daemon's.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from modelfloat.bench.folders import FOLDERS, small_files
from modelfloat.bench.harness import Ratio, Run, alternate, ratio, run_command, say
from modelfloat.bench.ours import REPOSITORY, Store
from modelfloat.bench.peers.restic import Repository
from modelfloat.bench.report import RATIOS, Report
from modelfloat.bench.sampler import AnonSampler
from modelfloat.bench.session import Session
from modelfloat.fuse.control import mount_states

ROUNDS: Final = 3
HEADER: Final = (
    "| what | median files/s | lowest–highest | median s | peak RssAnon MB |\n|---|---|---|---|---|"
)
ADD, AGAIN, LIST = "add", "add again, unchanged", "list all with sizes"
OURS: Final = "modelfloat"
RESTIC: Final = "restic"
TAR: Final = "tar"

Steps = dict[str, Run]


def measure(session: Session) -> Report:
    """Every contestant's steps, round by round; ratios of ours to restic's."""
    count = max(FOLDERS, session.files)
    source = session.work / "files"
    say(f"making {count:,} files")
    total = small_files(source, count)
    makers: dict[str, Callable[[Path, Path], Steps]] = {RESTIC: _restic, TAR: _tar}
    if not session.peers_only:
        makers = {OURS: _ours, **makers}
    steps: dict[str, list[Steps]] = {name: [] for name in makers}
    actions = {
        name: _action(make, session.work / "target", source, steps[name])
        for name, make in makers.items()
    }
    rounds = min(session.rounds, ROUNDS)
    alternate(actions, rounds)
    rows = [
        _row(f"{name}: {step}", count, [each[step] for each in taken])
        for name, taken in steps.items()
        for step in taken[0]
    ]
    tables = [[HEADER, *rows]]
    if not session.peers_only:
        tables.append([RATIOS, *map(str, _ratios(steps))])
    return Report("files", tables, _notes(count, total, rounds))


def _row(what: str, count: int, runs: list[Run]) -> str:
    rates = sorted(count / run.seconds for run in runs)
    peak = max(run.peak_anon or 0 for run in runs)
    return (
        f"| {what} | {median(rates):,.0f} | {rates[0]:,.0f}–{rates[-1]:,.0f} "
        f"| {median(run.seconds for run in runs):.2f} | {peak / 1e6:,.0f} |"
    )


def _ratios(steps: dict[str, list[Steps]]) -> list[Ratio]:
    def of(name: str, step: str) -> list[Run]:
        return [each[step] for each in steps[name]]

    pairs = [(ADD, 1.0), (AGAIN, 1.0), (LIST, 0.25)]
    return [
        ratio(f"{step}: ours / restic", of(OURS, step), of(RESTIC, step), target)
        for step, target in pairs
    ]


def _action(
    make: Callable[[Path, Path], Steps], target: Path, source: Path, taken: list[Steps]
) -> Callable[[], Run]:
    def action() -> Run:
        try:
            steps = make(target, source)
        finally:
            shutil.rmtree(target, ignore_errors=True)
        taken.append(steps)
        return Run(sum(run.seconds for run in steps.values()))

    return action


def _ours(target: Path, source: Path) -> Steps:
    store = Store(target)
    steps = {step: store.run("add", str(source), REPOSITORY) for step in (ADD, AGAIN)}
    with _mounted(store, target.with_name("mount")) as (folder, daemon):
        sampler = AnonSampler(daemon)
        run = run_command(["find", str(folder), "-type", "f", "-printf", "%p %s\\n"])
        sampler.stop()
        steps[LIST] = Run(run.seconds, sampler.peak)
    return steps


@contextmanager
def _mounted(store: Store, point: Path) -> Iterator[tuple[Path, int]]:
    """The repository's folder in a fresh mount, and the pid of the daemon."""
    with store.mounted(point, Path(".")) as folder:
        (state,) = mount_states(str(store.path))
        yield folder, state.pid


def _restic(target: Path, source: Path) -> Steps:
    repository = Repository(target)
    steps = {
        step: repository.run("backup", "--host", "bench", str(source)) for step in (ADD, AGAIN)
    }
    steps[LIST] = repository.run("ls", "--long", "latest")
    return steps


def _tar(target: Path, source: Path) -> Steps:
    target.mkdir()
    archive = str(target / "files.tar")
    return {
        ADD: run_command(["tar", "cf", archive, "-C", str(source), "."]),
        LIST: run_command(["tar", "tvf", archive]),
    }


def _notes(count: int, total: int, rounds: int) -> list[str]:
    return [
        f"{count:,} files, {total / 1e9:.2f} GB, {FOLDERS} folders, {rounds} rounds, alternating",
        "source, store, repository and archive on tmpfs; whole-process wall time",
        "tar syncs nothing and finds nothing again: about what the file system alone takes",
        "a store of 4+2 on six directories: 1.5 bytes written for each, restic and tar one",
    ]
