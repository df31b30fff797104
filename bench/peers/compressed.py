"""What zipnn and zstd make of a file, each in a process of its own."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import modules
from modelfloat.bench.peers.worker import Worker, worker

PACKAGES: Final = {"zipnn": "zipnn==0.5.4", "blosc2": "blosc2", "zstandard": "zstandard"}
OURS: Final = "modelfloat"
KEEPING: Final = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
"""Has glibc's malloc give nothing back to the kernel (mallopt(3)), so that memory stays warm."""
DTYPES: Final = ("float32", "bfloat16", "float16", "float8_e4m3fn")
"""What zipnn can be told of a buffer; both types of eight bits are treated alike."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """Bytes that came out, and with which setting."""

    size: int
    setting: str


class Compressors:
    """Peers that compress whole files; what they made is decompressed and compared."""

    def __init__(self, peers: Mapping[str, Worker]) -> None:
        self._peers = peers

    @property
    def versions(self) -> list[str]:
        """Names and versions, as a table shows them."""
        return [peer.ask(do="version")["version"] for peer in self._peers.values()]

    def zipnn(self, path: Path) -> Compressed:
        """By the dtype that makes the file smallest; those that fail on it are left out."""
        found = []
        for dtype in DTYPES:
            try:
                found.append(Compressed(self._size("zipnn", path, dtype), dtype))
            except BenchError:  # zipnn 0.5.4 corrupts its heap on some odd lengths
                continue
        if not found:
            raise BenchError(f"zipnn gives {path.name} back with no dtype")
        return min(found, key=lambda each: each.size)

    def zstd(self, path: Path, level: str) -> int:
        """One frame of the whole file."""
        return self._size("zstandard", path, level)

    def _size(self, name: str, path: Path, setting: str) -> int:
        answer = self._peers[name].ask(do="encode", path=str(path), setting=setting, width=1)
        self._peers[name].ask(do="decode")
        size: int = answer["size"]
        return size


@contextmanager
def workers(work: Path, *names: str, warm: bool = False) -> Iterator[dict[str, Worker]]:
    """A process for each of these, ours or peers, while the block runs; they inherit its cores.

    With `warm` what they free stays theirs: the kernel gives none of it again page by page.
    """
    memory, env = ("warm", KEEPING) if warm else ("new", {})
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                worker(_python(name), "compressors.py", work, name, memory, env=env)
            )
            for name in names
        }


def _python(name: str) -> str:
    return sys.executable if name == OURS else modules(name, PACKAGES[name])


@contextmanager
def compressed(work: Path) -> Iterator[Compressors]:
    """The peers for files, while the block runs."""
    with workers(work, "zipnn", "zstandard") as peers:
        yield Compressors(peers)
