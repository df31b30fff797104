"""What a reader of a table needs to know about the machine, and nothing that names it."""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

FLAGS: Final = ("avx2", "avx512f", "avx512bw", "gfni", "vaes", "sha_ni", "amx_tile")
PACKAGES: Final = ("modelfloat", "numpy", "blake3", "trio", "pyfuse3", "lmdb", "zstandard")


def facts() -> list[str]:
    """One line a fact: processor, memory, kernel, versions, and how busy the machine was."""
    flags = set(_field("/proc/cpuinfo", "flags").split())
    cores = len(os.sched_getaffinity(0))
    memory = int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024
    return [
        f"processor: {_field('/proc/cpuinfo', 'model name')}, {cores} cores",
        f"processor flags: {' '.join(flag for flag in FLAGS if flag in flags)}",
        f"memory: {memory / (1 << 30):.0f} GiB",
        f"kernel: Linux {_release()}",
        f"Python {platform.python_version()}, {', '.join(_versions())}",
        f"load average when the table was written: {os.getloadavg()[0]:.1f}",
    ]


@contextmanager
def one_core() -> Iterator[None]:
    """This process on one core for as long as a block runs, the same one each time."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _release() -> str:
    """The kernel's version without the builder's suffix, which can name a machine."""
    found = re.match(r"[0-9.]+", platform.release())
    return found[0] if found else "unknown"


def _field(path: str, name: str) -> str:
    with open(path) as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "0 unknown"


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return found
