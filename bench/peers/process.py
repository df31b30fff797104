"""A server of a peer for as long as a block runs, and never longer than the bench itself."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATIENCE: Final = 20
"""Seconds a server gets to end after SIGTERM."""


@contextmanager
def server(
    argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `argv` beside the block, its output in `log`; the kernel ends it should the bench die."""
    guarded = ["setpriv", "--pdeathsig", "TERM", *argv]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            guarded,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is the bench's alone: it stops servers in order
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(log: Path) -> str:
    """The last line of a server's log, for a message."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
