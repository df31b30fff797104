"""Content-defined chunks of 64 KiB on average, as deduplicating stores commonly cut them."""

from pathlib import Path
from typing import Final

from pyfastcdc import FastCDC

AVERAGE: Final = 64 << 10
LEAST, MOST = AVERAGE // 4, AVERAGE * 4
"""A quarter to four times the average, the library's own choice."""


def chunk_count(path: Path) -> int:
    """How many chunks a file is cut into."""
    cutter = FastCDC(AVERAGE, min_size=LEAST, max_size=MOST)
    return sum(1 for _ in cutter.cut_file(str(path)))
