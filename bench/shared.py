"""Eight machines on one store: processes that commit to four branches of it at once.

Each has a folder of its own, joined over the same six buckets of SeaweedFS, and adds one small file
after the other, two of them to each branch. What is wanted besides speed: every commit is in its
branch, every file is there and right as each of them sees it, and verify finds nothing.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import trio

from modelfloat.bench.figures import HEADER, Figure, percentile
from modelfloat.bench.harness import BenchError, say
from modelfloat.bench.ours import Store, command, environment
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store as Engine
from modelfloat.errors import ConflictError
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support.servers import CREDENTIALS, SeaweedFS

MACHINES: Final = 8
BRANCHES: Final = 4
BUCKETS: Final = 6
SIZE: Final = 4096
"""Bytes of each file."""
AT_ONCE: Final = 1e-3
"""Seconds: whoever opens a store follows the others first."""
REPOSITORY: Final = "acme/shared"


def measure(session: Session) -> Report:
    """One run: making the sites, the commits of all, what each of them sees at the end."""
    work = session.work / "shared"
    (work / "server").mkdir(parents=True)
    server = SeaweedFS(work / "server")
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    server.start()
    try:
        sites, joined = _sites(work, server)
        taken, each = _commits(work, sites, session.commits)
        say("looking at what came of it")
        _check(sites, session.commits)
    finally:
        server.kill()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    total = MACHINES * session.commits
    figures = [
        Figure("commits a second, of all together", "", [total / taken]),
        Figure("one commit, median", "s", [percentile(each, 0.5)]),
        Figure("one commit, 99 of 100", "s", [percentile(each, 0.99)]),
        Figure("one join", "s", joined),
        Figure("commits lost", "", [0], most=0),
    ]
    notes = [
        f"{MACHINES} processes, {session.commits} commits each, to {BRANCHES} branches",
        "six buckets of one SeaweedFS, 4+2, all on this machine",
        "every branch has one head and all of its commits; every file is right at every site",
        "verify finds nothing",
    ]
    return Report("shared", [[HEADER, *map(str, figures)]], notes)


def _sites(work: Path, server: SeaweedFS) -> tuple[list[Path], list[float]]:
    """A store over new buckets, and the other folders that joined it, with the seconds of each."""
    urls = {f"b{i}": f"{server.s3_url(server.new_bucket())},domain=b{i}" for i in range(BUCKETS)}
    first = Store(work / "site0", "4+2", urls)
    given = urls["b0"].partition(",domain=")[0]
    sites, taken = [first.path], []
    for number in range(1, MACHINES):
        sites.append(work / f"site{number}")
        began = time.monotonic()
        _call(sites[-1], "init", "--join", "--backend", given, "--quiet")
        taken.append(time.monotonic() - began)
    return sites, taken


def _commits(work: Path, sites: Sequence[Path], count: int) -> tuple[float, list[float]]:
    """Seconds that all commits took, and each of them."""
    say(f"{MACHINES} machines, {count} commits each")
    argv = [sys.executable, "-m", "modelfloat.bench.committing"]
    began = time.monotonic()
    running = [
        subprocess.Popen(
            [*argv, str(site), str(number), str(count), str(work)],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        for number, site in enumerate(sites)
    ]
    told = [process.communicate()[0] for process in running]
    taken = time.monotonic() - began
    if any(process.returncode for process in running):
        raise BenchError("a machine could not commit; what it said stands above")
    return taken, [seconds for text in told for seconds in json.loads(text)]


def _check(sites: Sequence[Path], count: int) -> None:
    """BenchError unless every site sees every commit and every file, and verify is clean."""
    _call(sites[0], "verify", "--quiet")
    for site in sites:
        trio.run(_look, site, count)


async def _look(site: Path, count: int) -> None:
    """See what a site shows, once it has looked what the others did."""
    async with open_store(str(site), refresh=AT_ONCE) as store:
        for branch in range(BRANCHES):
            machines = [number for number in range(MACHINES) if number % BRANCHES == branch]
            address = f"{REPOSITORY}@b{branch}"
            try:
                commits = _commits_of(store, address)
            except ConflictError as error:
                raise BenchError(f"{site.name}: {error}") from error
            if commits != count * len(machines):
                raise BenchError(f"{address} of {site.name} has {commits} commits")
            for name, content in _files(machines, count):
                file = store.open_file(parse_address(f"{address}/{name}"))
                if bytes(await file.read(0, SIZE + 1)) != content:
                    raise BenchError(f"{address}/{name} of {site.name} is wrong")
                file.close()


def _commits_of(store: Engine, address: str) -> int:
    """Commits that a branch reaches."""
    where = parse_address(address)
    left, seen = [store.refs.resolve(where.repo, where.rev)], set[ObjectId]()
    while left:
        commit = left.pop()
        if commit not in seen:
            seen.add(commit)
            left += store.objects.commit(commit).parents
    return len(seen)


def _files(machines: Sequence[int], count: int) -> Iterator[tuple[str, bytes]]:
    for number in machines:
        for step in range(count):
            yield name_of(number, step), content_of(number, step)


def name_of(number: int, step: int) -> str:
    """The file of a machine's commit."""
    return f"m{number}-{step:04d}"


def content_of(number: int, step: int) -> bytes:
    """Its bytes: like no other's."""
    return hashlib.shake_128(name_of(number, step).encode()).digest(SIZE)


def _call(site: Path, *arguments: str) -> bytes:
    argv = [command(), "--store", str(site), *arguments]
    done = subprocess.run(argv, env=environment(), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BenchError(f"{' '.join(arguments)}: {said[-1] if said else done.returncode}")
    return done.stdout
