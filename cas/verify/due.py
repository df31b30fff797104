"""How much of a store is due for a check, so that all of it is checked once a period.

The rule: of all bytes, at least the share d/period must have been checked within the last d, for
every d up to a period. Checks that come daily so get a day's share each, whatever was checked at
once before; one that comes after a pause gets what the pause left undone; what is older than a
period, or was never checked, is due at once. Pure.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_NS: Final = 1e9


def due(checked: NDArray[np.int64], sizes: NDArray[np.uint64], now_ns: int, period: float) -> float:
    """Bytes to check now, the longest unchecked first.

    `checked` has a time for each pack (ns since the epoch, 0: never), `sizes` its bytes, `period`
    is in seconds. A time that lies ahead of `now_ns` tells nothing: as good as never.
    """
    if not len(sizes):
        return 0.0
    ages = (now_ns - checked.astype(np.float64)) / _NS
    ages[(checked <= 0) | (ages < 0)] = period
    ages = np.minimum(ages, period)
    order = np.argsort(ages, kind="stable")
    ordered = sizes[order].astype(np.float64)
    younger = np.cumsum(ordered) - ordered
    return float(np.max(ordered.sum() * (ages[order] / period) - younger))
