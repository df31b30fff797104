"""A program: many threads fault pages of all files of a folder at random, others list and stat it.

    python -m modelfloat.tests.support.tempest FOLDER COPY THREADS SECONDS

COPY holds the same files. Every page is compared; pages are given up now and then, so that they
are faulted again. It says `ready` once all threads run, and in the end one line of JSON: pages
right and wrong, listings, and how long one of either took at most (seconds).
"""

import json
import mmap
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from blake3 import blake3

PAGE = mmap.PAGESIZE
FOUR = 4 * PAGE
LISTERS = 4


class Tempest:
    """What all threads share."""

    def __init__(self, folder: Path, copy: Path, threads: int, seconds: float) -> None:
        self.folder = folder
        self.copies = {path.name: path.read_bytes() for path in sorted(copy.iterdir())}
        self.views = {name: self._map(folder / name) for name in self.copies}
        self.started = threading.Barrier(threads + LISTERS + 2)
        self.seconds = seconds
        self.end = 0.0
        self.longest = {"page": 0.0, "list": 0.0}
        self.counts: Counter[str] = Counter()

    def _map(self, path: Path) -> tuple[int, mmap.mmap]:
        fd = os.open(path, os.O_RDONLY)
        view = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        view.madvise(mmap.MADV_RANDOM)
        return fd, view

    def begin(self) -> None:
        """Wait until all are there."""
        self.started.wait()
        self.end = time.monotonic() + self.seconds

    def took(self, what: str, begun: float) -> bool:
        """Note how long one thing took; whether there is to be another."""
        now = time.monotonic()
        self.longest[what] = max(self.longest[what], round(now - begun, 3))
        return now < self.end

    def fault(self, seed: int) -> None:
        """Fault pages."""
        chance, mine, names = random.Random(seed), Counter[str](), sorted(self.copies)
        self.begin()
        while True:
            name = chance.choice(names)
            at = chance.randrange(0, len(self.copies[name]) - FOUR) // PAGE * PAGE
            begun = time.monotonic()
            # Hashing lets go of the interpreter's lock: many threads fault at once.
            found = blake3(memoryview(self.views[name][1])[at : at + FOUR]).digest()
            on = self.took("page", begun)
            right = found == blake3(self.copies[name][at : at + FOUR]).digest()
            mine["right" if right else "wrong"] += 1
            if not on:
                break
        self.counts.update(mine)

    def walk(self, _seed: int) -> None:
        """List, and stat what is listed."""
        mine, on = Counter[str](), True
        self.begin()
        while on:
            begun = time.monotonic()
            for above in (self.folder, self.folder.parent, self.folder.parent.parent):
                sizes = {entry.name: entry.stat().st_size for entry in os.scandir(above)}
                mine["wrong"] += not sizes
            for name, data in self.copies.items():
                mine["wrong"] += os.stat(self.folder / name).st_size != len(data)
            mine["listed"] += 1
            on = self.took("list", begun)
        self.counts.update(mine)

    def forget(self, _seed: int) -> None:
        """Give pages up, so that the kernel asks for them again."""
        chance = random.Random(0)
        self.begin()
        while time.monotonic() < self.end:
            fd, view = chance.choice(list(self.views.values()))
            view.madvise(mmap.MADV_DONTNEED)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            time.sleep(0.01)


def main(folder: str, copy: str, threads: int, seconds: float) -> None:
    """Run it."""
    tempest = Tempest(Path(folder), Path(copy), threads, seconds)
    jobs = [tempest.fault] * threads + [tempest.walk] * LISTERS + [tempest.forget]
    crowd = [threading.Thread(target=job, args=(seed,)) for seed, job in enumerate(jobs)]
    for thread in crowd:
        thread.start()
    tempest.begin()
    print("ready", flush=True)
    for thread in crowd:
        thread.join()
    print(json.dumps({**tempest.counts, "longest": tempest.longest}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
