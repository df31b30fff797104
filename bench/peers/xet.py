"""hf_xet, which cuts into chunks of about 64 KiB and sends what is new; here into a folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelfloat.bench.peers.install import modules
from modelfloat.bench.peers.worker import Worker, worker


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload came to: chunks of the files, and bytes sent."""

    chunks: int
    sent: int


class Xet:
    """A running hf_xet; `store` is any folder, new or one it has sent to before."""

    def __init__(self, running: Worker) -> None:
        self._worker = running

    @property
    def version(self) -> str:
        """Name and version, as the table shows it."""
        version: str = self._worker.ask(do="version")["version"]
        return version

    def add(self, store: Path, *paths: Path) -> Upload:
        """Upload files, deduplicated against what the store has."""
        store.mkdir(exist_ok=True)
        told: dict[str, Any] = self._worker.ask(
            do="add", store=str(store), paths=[str(path) for path in paths]
        )
        return Upload(told["total_chunks"], told["total_bytes_uploaded"])


@contextmanager
def xet(work: Path) -> Iterator[Xet]:
    """hf_xet in a process of its own while the block runs; what it keeps lies in `work`."""
    cache = work / "xet-cache"
    try:
        with worker(modules("hf_xet", "hf_xet"), "xetsession.py", work, str(cache)) as running:
            yield Xet(running)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
