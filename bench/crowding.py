"""A program: readers of a crowd, each file from its start to its end, and what each got.

    python -m modelfloat.bench.crowding THREADS EACH FILE...

Says `ready` and waits for a line, so that a crowd of such processes starts together. Each of
THREADS threads reads EACH of the files in the order given, one thread a little further on in the
list than the other. In the end a line of JSON: seconds from that line on, bytes read, and for each
file, by its path, the BLAKE3 that every thread found, `failed` where one could not read it.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence

from blake3 import blake3

BUFFER = 1 << 20


def read(path: str) -> tuple[int, str]:
    """The bytes of a file, and their BLAKE3."""
    hasher, buffer, size = blake3(), memoryview(bytearray(BUFFER)), 0
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
                size += count
    except OSError as error:
        return size, f"failed: {error.strerror}"
    return size, hasher.hexdigest()


def main(threads: int, each: int, paths: Sequence[str]) -> None:
    """Read, then tell."""
    found: dict[str, list[str]] = {path: [] for path in paths}
    sizes: list[int] = []

    def crowd(number: int) -> None:
        start = number * len(paths) // threads
        for path in [*paths[start:], *paths[:start]][:each]:
            size, digest = read(path)
            found[path].append(digest)
            sizes.append(size)

    everybody = [threading.Thread(target=crowd, args=(number,)) for number in range(threads)]
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.perf_counter()
    for thread in everybody:
        thread.start()
    for thread in everybody:
        thread.join()
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "size": sum(sizes), "found": found}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
