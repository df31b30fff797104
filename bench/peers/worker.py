"""A peer that is a Python module, in a process and a venv of its own: it is asked line by line."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from modelfloat.bench.harness import BenchError, last_line

PROGRAMS: Final = Path(__file__).parent


class Worker:
    """A program of this folder: each question is a JSON line, and so is each answer.

    The program answers `{"error": …}` to what it cannot do, and ends when its input does. One that
    crashed is started again for the next question.
    """

    def __init__(
        self, python: str, program: str, log: Path, *arguments: str, env: Mapping[str, str]
    ) -> None:
        self._argv = [python, str(PROGRAMS / program), *arguments]
        self._env = {**os.environ, **env}
        self._name = " ".join([program, *arguments])
        self._log = open(log, "w+b")  # noqa: SIM115  it lives as long as the process
        self._process = self._start()

    def ask(self, **question: object) -> dict[str, Any]:
        """The answer to a question; `BenchError` where there is none."""
        if self._process.poll() is not None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            raise BenchError(f"{self._name} ended: {last_line(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._argv, stdin=pipe, stdout=pipe, stderr=self._log, env=self._env, text=True
        )


@contextmanager
def worker(
    python: str, program: str, work: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[Worker]:
    """A program of this folder for as long as the block runs; its log lies in `work`.

    `env` is what its environment has besides ours.
    """
    name = "-".join([program, *(each.rsplit("/", 1)[-1] for each in arguments)])
    log = work / f"{name}.log"
    with closing(Worker(python, program, log, *arguments, env=env or {})) as running:
        yield running
