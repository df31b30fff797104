"""squashfuse, a read-only filesystem in one file; its image here is not compressed.

The low-level program, which runs several threads, is the faster of its two.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import from_debian
from modelfloat.bench.peers.process import server, tail
from modelfloat.bench.workspace import unmount, wait_for_mount

UNCOMPRESSED: Final = ("-noI", "-noD", "-noF", "-noX")
BLOCK: Final = "1M"
"""The largest block: fewest steps a byte."""


class Image:
    """An image that holds one file; it and the log lie in the new folder `work`."""

    def __init__(self, work: Path, source: Source) -> None:
        os.mkdir(work)
        self._work = work
        self._path = work / "image.squashfs"
        self._command = from_debian("squashfuse_ll", "squashfuse")
        make = from_debian("mksquashfs", "squashfs-tools")
        argv = [make, str(source.path), str(self._path), *UNCOMPRESSED, "-b", BLOCK, "-no-progress"]
        subprocess.run(argv, capture_output=True, check=True)

    @property
    def version(self) -> str:
        """Name and version, as the table shows it."""
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "squashfuse"],
            capture_output=True,
            text=True,
            check=False,
        )
        return f"squashfuse {done.stdout.partition('-')[0] or 'of unknown version'}"

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """A mount by a fresh process."""
        point, log = self._work / "mount", self._work / "log"
        point.mkdir(exist_ok=True)
        with server([self._command, "-f", str(self._path), str(point)], log) as process:
            if not wait_for_mount(point, process):
                raise BenchError(f"squashfuse did not mount: {tail(log)}")
            try:
                yield point
            finally:
                unmount(point)
                process.wait(30)
