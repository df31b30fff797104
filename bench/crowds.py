"""Several processes that read at once, started together; what they read is compared."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a crowd did: seconds until the last one had all, bytes of all together."""

    seconds: float
    size: int

    @property
    def rate(self) -> float:
        """Bytes a second, of all together."""
        return self.size / self.seconds


def read_together(
    tasks: Sequence[Sequence[Path]],
    expected: Mapping[str, Source],
    *,
    threads: int = 1,
    each: int | None = None,
) -> Crowd:
    """A process for each task, which is the files it reads in order, by so many threads each.

    A thread reads `each` of them, all if None, one thread further on in the list than the other.
    `expected` has the original of every file by its path; BenchError where anybody got anything
    else, or nothing.
    """
    argv = [sys.executable, "-m", "modelfloat.bench.crowding", str(threads)]
    pipe = subprocess.PIPE
    crowd = [
        subprocess.Popen(
            [*argv, str(each or len(paths)), *map(str, paths)], stdin=pipe, stdout=pipe, text=True
        )
        for paths in tasks
    ]
    try:
        for process in crowd:
            assert process.stdout is not None
            process.stdout.readline()
        for process in crowd:
            assert process.stdin is not None
            print(flush=True, file=process.stdin)
        told = [json.loads(process.communicate()[0] or "{}") for process in crowd]
    finally:
        for process in crowd:
            process.kill()
            process.wait()
    for answer in told:
        _check(answer, expected)
    return Crowd(max(one["seconds"] for one in told), sum(one["size"] for one in told))


def _check(answer: Mapping[str, object], expected: Mapping[str, Source]) -> None:
    found = answer.get("found")
    if not isinstance(found, dict):
        raise BenchError("a reader ended before it had read everything; see its message")
    for path, digests in found.items():
        wrong = [digest for digest in digests if digest != expected[path].digest.hex()]
        if wrong:
            raise BenchError(f"{Path(path).name} was read wrong: {wrong[:1]}")
