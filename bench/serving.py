"""A mount whose backends lie behind a network, or are counted; served beside the bench."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.network import Network, Traffic
from modelfloat.bench.ours import REPOSITORY, Store
from modelfloat.bench.peers.process import server, tail
from modelfloat.bench.workspace import unmount

PATIENCE: Final = 60
"""Seconds until a mount answers, or has ended."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A mount: the folder of the repository in it, its daemon, what that fetched so far."""

    point: Path
    pid: int
    traffic: Traffic

    @property
    def folder(self) -> Path:
        """Where the bench's repository is shown."""
        return self.point / REPOSITORY


@contextmanager
def serving(
    store: Store, point: Path, network: Network | None = None, *options: str
) -> Iterator[Serving]:
    """A mount by a fresh daemon, `options` being those of `mount`; without a network it counts."""
    point.mkdir(exist_ok=True)
    log, counts = point.with_name(f"{point.name}.log"), point.with_name(f"{point.name}.counts")
    log.unlink(missing_ok=True)
    counts.unlink(missing_ok=True)
    traffic = Traffic(counts)
    told = json.dumps(asdict(network or Network()))
    argv = [sys.executable, "-m", "modelfloat.bench.overnetwork", told, str(counts)]
    argv += ["--store", str(store.path), "mount", "--foreground", *options, str(point)]
    with server(argv, log, store.environment) as process:
        try:
            _wait(process, log)
            yield Serving(point, process.pid, traffic)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE)
            unmount(point)


def _wait(process: "Popen[bytes]", log: Path) -> None:
    """Until it said that it is mounted: then everything that it tunes is tuned."""
    deadline = time.monotonic() + PATIENCE
    while b"mounted on" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"the mount is not there: {tail(log)}")
        time.sleep(0.02)
