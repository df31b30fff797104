"""Redis, which holds JuiceFS's metadata: on a private Unix socket, nothing written to disk."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import from_debian
from modelfloat.bench.peers.process import server

START: Final = 10
"""Seconds Redis gets to answer its first PING."""


@contextmanager
def redis(work: Path) -> Iterator[str]:
    """Redis for as long as the block runs; yields the path of its socket in `work`."""
    path = work / "redis.sock"
    argv = [from_debian("redis-server", "redis-server"), "--port", "0", "--dir", str(work)]
    argv += ["--unixsocket", str(path), "--unixsocketperm", "700", "--save", ""]
    argv += ["--appendonly", "no"]
    with server(argv, work / "redis.log") as process:
        deadline = time.monotonic() + START
        while not _answers(path):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError("redis-server did not start; try it by hand")
            time.sleep(0.02)
        yield str(path)


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
    except OSError:
        return False
