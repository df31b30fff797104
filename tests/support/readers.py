"""Programs that use files of a mount, each in a process of its own that can be ended."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from modelfloat.tests.support.mounted import PATIENCE

HOLD = """
import mmap, os, sys
how, path = sys.argv[1:]
if how == "cwd":
    os.chdir(path)
else:
    file = open(path, "rb")
    if how == "map":
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        file.close()
print("ready", flush=True)
sys.stdin.read()
if how != "cwd":
    sys.stdout.write((file.read() if how == "open" else view[:]).decode())
"""


@contextlib.contextmanager
def holding(path: Path, how: str = "open") -> Iterator["subprocess.Popen[str]"]:
    """A process that has `path` open, mapped (`map`) or for its working directory (`cwd`).

    When its input ends it prints the file's text and ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, how, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def finish(process: "subprocess.Popen[str]") -> str:
    """Let it end; what it read."""
    return process.communicate(timeout=PATIENCE)[0]
