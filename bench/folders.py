"""Folders of many small files, the same on every machine."""

import os
from pathlib import Path
from typing import Final

from blake3 import blake3

FOLDERS: Final = 200
SMALLEST: Final = 3_596
SPREAD: Final = 1_000
"""Sizes run evenly from SMALLEST over so many bytes: 4 KiB on average."""


def small_files(folder: Path, count: int) -> int:
    """Write `count` files of random bytes, about 4 KiB each, over FOLDERS folders; their bytes."""
    stream, total = blake3(b"modelfloat bench files"), 0
    for number in range(FOLDERS):
        inner = folder / f"folder-{number:03}"
        inner.mkdir(parents=True)
        for index in range(number, count, FOLDERS):
            size = SMALLEST + index * 7 % SPREAD
            data = stream.digest(length=size, seek=index * (SMALLEST + SPREAD))
            (inner / f"file-{index:06}.bin").write_bytes(data)
            total += size
    return total


def tiny_files(folder: Path, count: int) -> None:
    """Write `count` files of no byte or one into one folder."""
    folder.mkdir()
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for index in range(count):
            name, flags = f"file-{index:07}.bin", os.O_WRONLY | os.O_CREAT | os.O_EXCL
            file = os.open(name, flags, 0o644, dir_fd=directory)
            if index % 2:
                os.write(file, bytes([index % 251]))
            os.close(file)
    finally:
        os.close(directory)
