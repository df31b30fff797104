"""A program: page faults at random by many threads, while others list and stat, for so long.

    python -m modelfloat.bench.storming SECONDS THREADS FOLDER COPIES

Maps every file of FOLDER; THREADS threads touch pages of them at random and compare what they find
with the file of that name in COPIES; two more list FOLDER and stat all in it, again and again. In
the end a line of JSON: pages touched, how many of them were wrong, listings, and the longest that
a single page, listing or stat took, in seconds.
"""

import json
import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from blake3 import blake3

PAGE = mmap.PAGESIZE
LOOKERS = 2


@dataclass
class Storm:
    """What was seen so far; each thread adds to it under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pages: int = 0
    wrong: int = 0
    listings: int = 0
    longest: dict[str, float] = field(default_factory=dict)

    def timed(self, what: str, action: Callable[[], object]) -> None:
        """Note how long an action takes if nothing of its kind took longer."""
        start = time.perf_counter()
        action()
        seconds = time.perf_counter() - start
        with self.lock:
            self.longest[what] = max(self.longest.get(what, 0.0), seconds)


def mapped(path: Path) -> memoryview:
    """A file's bytes; nothing of it is read ahead."""
    with open(path, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapping.madvise(mmap.MADV_RANDOM)
    return memoryview(mapping)


def main(seconds: float, threads: int, folder: Path, copies: Path) -> None:
    """Run the storm, then tell."""
    storm, end = Storm(), time.monotonic() + seconds
    names = sorted(path.name for path in copies.iterdir())
    pairs = [(mapped(folder / name), mapped(copies / name)) for name in names]

    def touch(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            view, copy = chance.choice(pairs)
            at = chance.randrange(len(view) // PAGE) * PAGE
            found: list[bytes] = []

            def fault(at: int = at, view: memoryview = view, found: list[bytes] = found) -> None:
                # Hashing lets go of the interpreter's lock: many threads fault at once.
                found.append(blake3(view[at : at + PAGE]).digest())

            storm.timed("page", fault)
            right = found[0] == blake3(copy[at : at + PAGE]).digest()
            with storm.lock:
                storm.pages += 1
                storm.wrong += not right

    def look() -> None:
        while time.monotonic() < end:
            storm.timed("listing", lambda: os.listdir(folder))
            for name in names:
                storm.timed("stat", partial(os.stat, folder / name))
            with storm.lock:
                storm.listings += 1
            time.sleep(0.01)

    crowd = [threading.Thread(target=touch, args=(seed,)) for seed in range(threads)]
    crowd += [threading.Thread(target=look) for _ in range(LOOKERS)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    told = {"pages": storm.pages, "wrong": storm.wrong, "listings": storm.listings}
    print(json.dumps({**told, "longest": storm.longest}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
