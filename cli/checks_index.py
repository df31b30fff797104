"""What `doctor` asks of the index, in a process of its own.

LMDB maps its file into memory: where the file is shorter than it says, or nonsense, a look at it
may end the whole process with a signal. So this module is also a program, and doctor runs it.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..errors import NotFoundError
from .checks import Finding, Level, examine, ok, problem, warning
from .output import human_size, human_time, plural

if TYPE_CHECKING:
    from ..cas.index.index import Index
    from ..cas.packs.survival import Layouts

MAP_WARNING: Final = 0.8
"""The part of the index's address space that may be in use."""
OLD: Final = 90 * 86_400
"""Seconds after which a pack should be read again."""


def examine_index(path: str, store: str) -> list[Finding]:
    """All findings about the index at `path` of `store`, whatever state it is in."""
    done = _alone(path, store)
    if done.returncode == 0:
        rows = json.loads(done.stdout)
        return [Finding(check, Level(level), *texts) for check, level, *texts in rows]
    end = f"exit status {done.returncode}"
    if done.returncode < 0:
        end = signal.Signals(-done.returncode).name
    text = f"{path} is damaged: reading it ended with {end}"
    return [problem("index", text, "run `modelfloat rebuild-index`")]


def read_layouts(path: str) -> "Layouts":
    """Where the packs of the index at `path` lie; none where it cannot be read, as others say."""
    from ..cas.packs.survival import Layout
    from ..ids import BackendId

    done = _alone(path)
    rows = json.loads(done.stdout) if done.returncode == 0 else []
    places = ((tuple(BackendId(bytes.fromhex(b)) for b in each), k, m, n) for k, m, each, n in rows)
    return {Layout(k, m, each): count for each, k, m, count in places}


def _alone(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", __name__, *arguments]
    return subprocess.run(  # noqa: S603  our own program
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def main() -> None:
    """Print what there is to say of the index as JSON; of one alone, where its packs lie."""
    path, *store = sys.argv[1:]
    rows = _findings(path, *store) if store else _layouts(path)
    sys.stdout.write(json.dumps(rows))


def _layouts(path: str) -> list[list[object]]:
    from ..cas.packs.survival import layouts_of

    with _opened(path) as index:
        found = layouts_of(index.packs())
    return [[each.k, each.m, [b.hex() for b in each.places], n] for each, n in found.items()]


def _findings(path: str, store: str) -> list[list[object]]:
    found = examine("index", lambda: opens(path, store))
    told = {each.text for each in found}
    found += [each for each in examine("packs", lambda: packs(path)) if each.text not in told]
    if all(each.level is not Level.PROBLEM for each in found):
        found += examine("capacity", lambda: capacities(path, store))
    return [[each.check, int(each.level), each.text, each.remedy] for each in found]


def capacities(path: str, store: str) -> Iterator[Finding]:
    """What backends hold of what they may; one that holds all of it is sound, but gets no more."""
    from ..cas.capacity import bytes_on
    from ..config import read_config

    bounded = [each for each in read_config(store).backends if each.capacity is not None]
    if not bounded:
        return
    with _opened(path) as index:
        used = bytes_on(index.packs())
    for each in bounded:
        most = each.capacity or 0
        text = f"{each.name} holds {human_size(used[each.id])} of {human_size(most)}"
        if used[each.id] < most:
            yield ok("capacity", text)
        else:
            remedy = f"`modelfloat backend set {each.name} --capacity SIZE` gives it more"
            yield warning("capacity", f"{text}: it gets no new shards", remedy)


def opens(path: str, store: str) -> Iterator[Finding]:
    """The index opens, is this store's, and has room."""
    from ..config import read_config

    with _opened(path) as index:
        try:
            foreign = index.store != read_config(store).id
        except NotFoundError:
            foreign = False
        if foreign:
            yield problem(
                "index",
                f"{path} is the index of store {index.store.hex()}",
                "move it away and run `modelfloat rebuild-index`",
            )
        used, room = index.used()
        text = f"{path}: {human_size(used)} of {human_size(room)} in use"
        if used > MAP_WARNING * room:
            yield warning("index", text, "`modelfloat gc`, then `modelfloat rebuild-index`")
        elif index.read_only:
            yield warning("index", f"{text}; it can only be read: {index.read_only}")
        else:
            yield ok("index", text)


def packs(path: str) -> Iterator[Finding]:
    """What verify and reads found of the shards, and how long ago."""
    from ..cas.index.records import ShardState

    total = degraded = lost = never = 0
    oldest = time.time_ns()
    with _opened(path) as index:
        for pack in index.packs():
            good = sum(state is ShardState.GOOD for state in pack.states)
            total += 1
            degraded += pack.k <= good < pack.n
            lost += good < pack.k
            never += not pack.checked_ns
            oldest = min(oldest, pack.checked_ns or oldest)
        first = min((head.time_ns for head in index.refs()), default=time.time_ns())
    if lost:
        yield Finding(
            "packs",
            Level.DAMAGE,
            f"{lost:,} of {plural(total, 'pack')} lack more shards than parity replaces",
            "bring backends back that are down, then `modelfloat verify --repair`",
        )
    if degraded:
        yield Finding(
            "packs",
            Level.DAMAGE,
            f"{degraded:,} of {plural(total, 'pack')} lack shards that parity replaces",
            "`modelfloat verify --repair` writes them anew",
        )
    if not lost and not degraded:
        yield ok("packs", f"{plural(total, 'pack')}, no damage known")
    yield _last_check(total, never, oldest, first)


def _last_check(total: int, never: int, oldest_ns: int, first_ns: int) -> Finding:
    """When the pack that was read longest ago was read."""
    since = (time.time_ns() - (first_ns if never else oldest_ns)) / 1e9
    if not total:
        return ok("verified", "there is nothing to verify yet")
    if never:
        text = f"{never:,} of {plural(total, 'pack')} were never read back"
    else:
        text = f"every pack was read back since {human_time(oldest_ns)}"
    if since > OLD:
        return warning("verified", text, "run `modelfloat verify` now and then")
    return ok("verified", text)


@contextlib.contextmanager
def _opened(path: str) -> "Iterator[Index]":
    from ..cas.index.index import Index

    index = Index.open(path)
    try:
        yield index
    finally:
        index.close()


if __name__ == "__main__":
    main()
