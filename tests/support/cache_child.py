"""A program that fills one file of a disk cache, chunk by chunk, until it is killed or done.

`python -m … FOLDER SEED`: chunks in an order that follows from SEED. It does a step for each line
that it is told, and all that is left when there are no more.
"""

import random
import sys

from modelfloat.cas.cache.cachedfile import open_cached
from modelfloat.tests.support.cachedsample import HEAD, PIECES, chunk


def _may_go_on() -> None:
    if sys.stdin.readline():
        print("on", flush=True)


def main(folder: str, seed: str) -> None:
    """Put, flush, refresh and read, over and over."""
    order = random.Random(seed).sample(PIECES, len(PIECES))
    file = open_cached(folder, HEAD)
    assert file is not None
    for step, piece in enumerate(order):
        _may_go_on()
        file.put(piece, memoryview(chunk(piece.number)))
        if step % 3 == 0:
            _may_go_on()
            file.flush()
            _may_go_on()
            file.refresh()
    file.seal(PIECES)
    print("sealed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
