"""A peer that is a Python module, in a process and a venv of its own: it is asked line by line."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from modelfloat.bench.harness import BenchError, last_line

PROGRAMS: Final = Path(__file__).parent


class Worker:
    """A running program of this folder: each question is a JSON line, and so is each answer.

    The program answers `{"error": …}` to what it cannot do, and ends when its input does.
    """

    def __init__(self, python: str, program: str, log: Path, *arguments: str) -> None:
        self._program = program
        self._log = open(log, "w+b")  # noqa: SIM115  it lives as long as the process
        self._process = subprocess.Popen(
            [python, str(PROGRAMS / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, **question: object) -> dict[str, Any]:
        """The answer to a question; `BenchError` where there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise BenchError(f"{self._program} ended: {last_line(self._log)}") from None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"{self._program} ended: {last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self._program}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


@contextmanager
def worker(python: str, program: str, work: Path, *arguments: str) -> Iterator[Worker]:
    """A program of this folder for as long as the block runs; its log lies in `work`."""
    name = "-".join([program, *arguments])
    with closing(Worker(python, program, work / f"{name}.log", *arguments)) as running:
        yield running
