"""Commands that die, or fail, at a chosen step: for tests of what a crash leaves behind.

    with Crasher(tmp_path) as crasher:
        steps = crasher.run("--store", store, "add", source, "acme/m").steps   # a clean run
        for at in range(len(steps)):
            copy = fresh copy of the store as it was before
            died = crasher.run("--store", copy, "add", source, "acme/m", at=at)            # SIGKILL
            failed = crasher.run("--store", copy, "add", source, "acme/m", at=at, fault="full")

What counts as a step stands in `tests.support.steps`. Faults: "kill" (SIGKILL at that step, which
is before or after what it names), "unavailable", "full", "denied" (that step raises it, and with
`lasting=True` every later one of its kind too). A command runs through `cli.main.run` in a forked
process with the store wrapped, so any command of the CLI can be driven, `rm` and `gc` as well; it
takes a few hundredths of a second more than in the test's own process.

The number of steps of a command varies a little from run to run (tasks race): a step behind the
last one does not strike, and `Ran.struck` says so. `each_step` yields the numbers to try: all of
them in the slow matrix, an even sample in the default run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

SAMPLE: Final = 8
"""Steps that the default run tries of each command."""

Fault = Literal["kill", "unavailable", "full", "denied"]


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ran: `status` is its exit status, or less the signal that ended it.

    `steps` names its steps in order, `struck` is whether one of them was struck.
    """

    status: int
    out: str
    err: str
    steps: list[str]
    struck: bool

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr that are no warnings."""
        return [line for line in self.err.splitlines() if ": warning: " not in line]


class Crasher:
    """Runs commands; use it in a `with` statement. `folder` is where its own files go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "crasher"
        self._folder.mkdir()
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MODELFLOAT_AUTHOR": "Ada"}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "modelfloat.tests.support.crash_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.communicate()

    def run(
        self,
        *arguments: object,
        at: int | None = None,
        fault: Fault = "kill",
        lasting: bool = False,
    ) -> Ran:
        """Run `modelfloat ARGUMENTS`, struck by `fault` at step `at`; None strikes never."""
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        files = {name: str(self._folder / name) for name in ("out", "err", "log")}
        job = {"arguments": [*map(str, arguments)], "at": at, "fault": fault, "lasting": lasting}
        self._child.stdin.write(json.dumps(job | files) + "\n")
        self._child.stdin.flush()
        status = json.loads(self._child.stdout.readline())["status"]
        out, err, log = (Path(path).read_text(errors="replace") for path in files.values())
        lines = log.splitlines()
        struck = any(line.startswith("!") for line in lines)
        return Ran(status, out, err, [line[2:] for line in lines], struck)


def each_step(count: int, *, all_of_them: bool, sample: int = SAMPLE) -> Iterator[int]:
    """Numbers of steps to try: all, or `sample` of them with the first and the last."""
    if all_of_them or count <= sample:
        yield from range(count)
    else:
        yield from sorted({round(i * (count - 1) / (sample - 1)) for i in range(sample)})
