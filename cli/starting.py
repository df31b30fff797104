"""How a command begins: what keeps it from doing work that nobody needs before its own.

Measured on an `add`, of some 0.6 s of processor time before its first byte: NumPy's BLAS starting a
thread for every core, of which we use none, takes 0.1; the interpreter looking for garbage again
and again among what imports make, which is never any, 0.1 to 0.2.
"""

import ctypes
import gc
import os
import resource
from typing import Final

_IMPORTING: Final = 20_000
"""New objects until garbage is looked for, while little but modules is made."""
_USUAL: Final = gc.get_threshold()
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def begin() -> None:
    """First of all: NumPy reads the variable when it is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(_IMPORTING)


def imported() -> None:
    """All that is imported is: it stays, and need not be looked at again. Once after `begin`."""
    if gc.get_threshold()[0] == _IMPORTING:
        gc.freeze()
        gc.set_threshold(*_USUAL)


def allow_descriptors() -> None:
    """Have as many files open as this user may: the usual 1024 are for programs that call select,
    and a mount may have a cached file or a folder open for each of those that others have open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def keep_freed_memory() -> None:
    """Have the memory of encoded chunks used again rather than given back and asked for anew.

    Memory touched for the first time is dear: an `add` of BF16 weights takes a tenth less processor
    time so. As many arenas as cores, or every thread would keep some for itself. Sources:
    mallopt(3), glibc's malloc.h; other C libraries have no such thing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (
        (_M_ARENA_MAX, max(2, os.cpu_count() or 1)),
        (_M_TRIM_THRESHOLD, 64 << 20),
        (_M_MMAP_THRESHOLD, 4 << 20),
    ):
        mallopt(parameter, value)
