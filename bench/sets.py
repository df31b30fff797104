"""Four processes that load one sharded model, and four that load four models, beside one.

What backends delivered is counted in runs of their own, through a daemon that counts. The disk is
what holds `--folder`: the same files as plain files, which is what `get` would leave.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from modelfloat.bench.crowds import Crowd, read_together
from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import drop_page_cache, say, warm_memory
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.report import Report
from modelfloat.bench.serving import serving
from modelfloat.bench.session import Session
from modelfloat.bench.shards import Set, make_set

PROCESSES: Final = 4
SHARDS: Final = 4
ROUNDS: Final = 3
ONE, SAME, OTHERS = "one process, one model", "four, one model", "four, a model each"

Tasks = dict[str, list[list[Path]]]
Found = dict[str, list[float]]


def measure(session: Session) -> Report:
    """Rates of all together by mount and by disk, then what was fetched for them."""
    found: Found = {}
    rounds = min(session.rounds, ROUNDS)
    with ExitStack() as stack:
        work = session.work / "sets"
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        size = session.size // (PROCESSES * SHARDS)
        models = work / "models"
        sets = [make_set(models / f"set{i}", f"set {i}", SHARDS, size) for i in range(PROCESSES)]
        disk = Path(stack.enter_context(_folder(session)))
        for each in sets:
            shutil.copytree(each.folder, disk / each.folder.name)
        store = Store(work / "store")
        store.run("add", str(models), REPOSITORY)
        point = session.work / "mount"
        for number in range(rounds):
            # Contestants take turns within a step; what is counted is not timed.
            for where in ("mount", "disk") if number % 2 == 0 else ("disk", "mount"):
                if where == "mount":
                    _from_mount(found, store, point, sets)
                else:
                    _from_disk(found, disk, sets)
            _counted(found, store, point, sets)
    total = sum(each.size for each in sets)
    return Report("sets", [[HEADER, *map(str, _figures(found))]], _notes(total, rounds))


def _folder(session: Session) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="modelfloat-bench-", dir=session.folder or "/var/tmp")


def _tasks(top: Path, sets: Sequence[Set]) -> Tasks:
    paths = [[top / each.folder.name / s.path.name for s in each.shards] for each in sets]
    return {ONE: paths[:1], SAME: [paths[0]] * PROCESSES, OTHERS: paths}


def _originals(top: Path, sets: Sequence[Set]) -> dict[str, Source]:
    return {
        str(top / each.folder.name / shard.path.name): shard
        for each in sets
        for shard in each.shards
    }


def _cold(tasks: Sequence[Sequence[Path]], expected: Mapping[str, Source]) -> Crowd:
    drop_page_cache()
    warm_memory(2 * sum(source.size for source in expected.values()))
    return read_together(tasks, expected)


def _from_mount(found: Found, store: Store, point: Path, sets: Sequence[Set]) -> None:
    top = point / REPOSITORY
    for what, tasks in _tasks(top, sets).items():
        with store.mounted(point, Path(".")):
            crowd = _cold(tasks, _originals(top, sets))
        _note(found, f"mount, {what}", crowd.rate / 1e6)


def _from_disk(found: Found, disk: Path, sets: Sequence[Set]) -> None:
    for what, tasks in _tasks(disk, sets).items():
        crowd = _cold(tasks, _originals(disk, sets))
        _note(found, f"disk, {what}", crowd.rate / 1e6)


def _counted(found: Found, store: Store, point: Path, sets: Sequence[Set]) -> None:
    top = point / REPOSITORY
    for what, tasks in _tasks(top, sets).items():
        with serving(store, point) as mount:
            _cold(tasks, _originals(top, sets))
            fetched = mount.traffic.fetched
        wanted = sum(each.size for each in (sets if what == OTHERS else sets[:1]))
        _note(found, f"fetched, {what}", fetched / wanted)


def _note(found: Found, what: str, value: float) -> None:
    found.setdefault(what, []).append(value)
    say(f"{what}: {value:,.2f}")


def _figures(found: Found) -> list[Figure]:
    def against(what: str) -> list[float]:
        pairs = zip(found[f"mount, {what}"], found[f"mount, {ONE}"], strict=True)
        return [mine / alone for mine, alone in pairs]

    rates = [
        Figure(f"{where}, {what}: all together", "MB/s", found[f"{where}, {what}"])
        for where in ("mount", "disk")
        for what in (ONE, SAME, OTHERS)
    ]
    fetched = [
        Figure(f"{what}: fetched / bytes of the files", "", found[f"fetched, {what}"], most=1.1)
        for what in (ONE, SAME, OTHERS)
    ]
    return [
        *rates,
        Figure(f"{SAME} / {ONE}", "", against(SAME), least=1),
        Figure(f"{OTHERS} / {ONE}", "", against(OTHERS), least=1),
        *fetched,
    ]


def _notes(total: int, rounds: int) -> list[str]:
    return [
        f"{PROCESSES} models of {SHARDS} shards, {total / 1e9:.2f} GB together, random BF16",
        f"a store of {SCHEME} on tmpfs; {rounds} rounds, page cache dropped, a fresh mount each",
        "readers start together; the rate is of all bytes read, until the last one had all",
        "bytes fetched are counted at the backends, in runs of their own",
        "every file that was read is hashed and compared, within the clock",
    ]
