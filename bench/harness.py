"""What every subject shares: timed runs, alternation, a cold page cache, rows and ratios.

Contestants alternate within one run and every ratio is taken within a round, so whatever else the
machine does meets both sides. Sizes are bytes, times are seconds of wall clock.
"""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryFile
from typing import IO

from blake3 import blake3

from modelfloat.bench.sampler import AnonSampler


class BenchError(Exception):
    """A bench that cannot go on; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run; `peak_anon` is the largest RssAnon seen, None where nobody looked."""

    seconds: float
    peak_anon: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant: every run moved the same `size` bytes."""

    what: str
    size: int
    runs: Sequence[Run]

    def __str__(self) -> str:
        rates = sorted(self.size / run.seconds / 1e6 for run in self.runs)
        peaks = [run.peak_anon for run in self.runs if run.peak_anon is not None]
        return (
            f"| {self.what} | {median(rates):,.0f} | {rates[0]:,.0f}–{rates[-1]:,.0f} "
            f"| {median(run.seconds for run in self.runs):.2f} "
            f"| {f'{max(peaks) / 1e6:,.0f}' if peaks else '–'} |"
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster the first was than the second, once a round, and the least we want."""

    what: str
    values: Sequence[float]
    target: float

    @property
    def met(self) -> bool:
        """Whether the median reaches the target."""
        return median(self.values) >= self.target

    def __str__(self) -> str:
        return (
            f"| {self.what} | {median(self.values):.2f} | {min(self.values):.2f}–"
            f"{max(self.values):.2f} | ≥ {self.target:g} | {'met' if self.met else 'missed'} |"
        )


def ratio(what: str, first: Sequence[Run], second: Sequence[Run], target: float) -> Ratio:
    """The speed of `first` over that of `second`, round by round; both moved the same bytes."""
    values = [theirs.seconds / ours.seconds for ours, theirs in zip(first, second, strict=True)]
    return Ratio(what, values, target)


def alternate(actions: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run each action once a round, every other round in reverse, and collect what each took."""
    taken: dict[str, list[Run]] = {name: [] for name in actions}
    for number in range(rounds):
        for name in list(actions) if number % 2 == 0 else reversed(list(actions)):
            run = actions[name]()
            taken[name].append(run)
            say(f"round {number + 1}/{rounds}: {name} {run.seconds:.2f} s")
    return taken


def run_command(
    argv: Sequence[str], env: Mapping[str, str] | None = None, ends: Container[int] = (0,)
) -> Run:
    """Run a command to its end: whole-process wall time, and its peak RssAnon.

    `BenchError` with the last line of its stderr when it ends with a status not in `ends`.
    """
    with TemporaryFile() as log:
        start = time.perf_counter()
        with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=log) as process:
            sampler = AnonSampler(process.pid)
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                seconds = time.perf_counter() - start
                sampler.stop()
        if status not in ends:
            raise BenchError(f"{argv[0].rsplit('/', 1)[-1]} exited with {status}: {last_line(log)}")
    return Run(seconds, sampler.peak)


def check_output(argv: Sequence[str], env: Mapping[str, str], digest: bytes, wrong: str) -> None:
    """`BenchError(wrong)` unless a command succeeds, and what it prints has that BLAKE3."""
    hasher = blake3()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while block := process.stdout.read(1 << 20):
            hasher.update(block)
    if process.returncode or hasher.digest() != digest:
        raise BenchError(wrong)


def drop_page_cache() -> None:
    """Make the next read cold: write dirty pages out, then drop pages, dentries and inodes."""
    os.sync()
    switch = "/proc/sys/vm/drop_caches"
    try:
        with open(switch, "w") as file:
            file.write("3")
    except OSError as error:
        raise BenchError(f"cannot drop the page cache ({error}); run this bench as root") from error


def warm_memory(size: int) -> None:
    """Have `size` bytes of free memory backed by the host before a run.

    A virtual machine gives free pages back to its host within seconds, and the first touch of each
    then costs a fault out there, several times what it costs to fill it. Who runs at what distance
    from somebody else's clean-up would decide the race; so everybody starts with warm pages.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, size, flags=flags).close()


def last_line(log: IO[bytes]) -> str:
    """The last line of a log that says something, for a message."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


def say(line: str) -> None:
    """Progress goes to stderr; stdout carries the tables alone."""
    print(line, file=sys.stderr, flush=True)
