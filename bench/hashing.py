"""A program: hashes files with BLAKE3, as b3sum does; the peer of `verify`.

`python hashing.py mapped|plain FOLDER` hashes every file below FOLDER, one after another: mapped
into memory and with all cores, as b3sum does by default, or read in pieces by one thread.
"""

import os
import sys
from collections.abc import Iterator

from blake3 import blake3

PIECE = 1 << 20


def main(how: str, folder: str) -> int:
    """Hash all files; print their bytes and what their digests hash to together."""
    whole, size = blake3(), 0
    for path in sorted(files(folder)):
        whole.update(mapped(path) if how == "mapped" else plain(path))
        size += os.stat(path).st_size
    print(size, whole.hexdigest())
    return 0


def files(folder: str) -> Iterator[str]:
    """Every file below a folder."""
    for here, _, names in os.walk(folder):
        yield from (os.path.join(here, name) for name in names)


def mapped(path: str) -> bytes:
    """The digest of a file by all cores."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).digest()


def plain(path: str) -> bytes:
    """The digest of a file that is read in pieces, by this thread."""
    hasher, buffer = blake3(), memoryview(bytearray(PIECE))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.digest()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
