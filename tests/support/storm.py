"""A program: many threads read a file at random and compare every byte with a copy elsewhere.

    python -m modelfloat.tests.support.storm HOW FILE COPY THREADS READS

HOW is `map` (page faults, none of which holds the interpreter's lock) or `read`. It says `ready`
once all threads run, and in the end one line of JSON: pages read right, wrong, and refused.
"""

import errno
import json
import mmap
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

PAGE = mmap.PAGESIZE


def main(how: str, path: str, copy: str, threads: int, reads: int) -> None:
    """Run the storm."""
    data = Path(copy).read_bytes()
    results: Counter[str] = Counter()
    fd = os.open(path, os.O_RDONLY)
    view = mmap.mmap(fd, 0, prot=mmap.PROT_READ) if how == "map" else None
    if view is not None:
        view.madvise(mmap.MADV_RANDOM)

    def digest(offset: int, size: int) -> bytes:
        if view is None:
            return blake3(_read_all(fd, offset, size)).digest()
        # Hashing lets go of the interpreter's lock: many threads fault at once.
        return blake3(memoryview(view)[offset : offset + size]).digest()

    started = threading.Barrier(threads + 1)
    crowd = [
        threading.Thread(target=_read, args=(digest, data, results, reads, started, seed))
        for seed in range(threads)
    ]
    for thread in crowd:
        thread.start()
    started.wait()
    print("ready", flush=True)
    for thread in crowd:
        thread.join()
    print(json.dumps(results), flush=True)


def _read_all(fd: int, offset: int, size: int) -> bytes:
    """As every careful program reads: a read that meets an error in its middle comes back short."""
    data = b""
    while len(data) < size:
        part = os.pread(fd, size - len(data), offset + len(data))
        if not part:
            return data
        data += part
    return data


def _read(
    digest: Callable[[int, int], bytes],
    data: bytes,
    results: "Counter[str]",
    reads: int,
    started: threading.Barrier,
    seed: int,
) -> None:
    chance, mine = random.Random(seed), Counter[str]()
    started.wait()
    for _ in range(reads):
        # Short hashes keep the lock: always more than 2 KiB at a time.
        offset = chance.randrange(0, len(data) - 4 * PAGE) // PAGE * PAGE
        size = chance.choice([PAGE, 4 * PAGE])
        try:
            right = digest(offset, size) == blake3(data[offset : offset + size]).digest()
            mine["right" if right else "wrong"] += 1
        except OSError as error:
            mine[errno.errorcode.get(error.errno or 0, "?")] += 1
    results.update(mine)


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
