"""How much may be asked of a provider, and how that is written: `10/s:40+750GB/day`."""

import math
import re
from dataclasses import dataclass, replace
from typing import Final

_REQUESTS: Final = re.compile(
    r"(?P<count>[0-9]+(?:\.[0-9]+)?)/(?P<unit>s|min|h)(?::(?P<burst>[0-9]{1,9}))?"
)
_DAILY: Final = re.compile(r"(?P<count>[0-9]+(?:\.[0-9]+)?)(?P<unit>[kMGT]?B?)/day")
_SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_AT_ONCE: Final = 2.0
"""Seconds whose requests may come at once, where nobody says how many."""
_SLOWEST: Final = 1 / 3600.0
"""Requests a second: fewer than one an hour is no rate that anything could be read at."""
_LARGEST: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Rate:
    """What a provider allows: `requests` a second in the long run, `burst` of them at once, and
    `daily` bytes stored in any 24 hours; None is no limit.

    A put counts as `put` requests. Backends of one `account` have one allowance between them; ""
    is an account of its own.
    """

    requests: float | None = None
    burst: int = 1
    daily: int | None = None
    put: int = 1
    account: str = ""

    def __str__(self) -> str:
        parts = [] if self.requests is None else [f"{_count(self.requests)}:{self.burst}"]
        parts += [] if self.daily is None else [f"{_bytes(self.daily)}/day"]
        return "+".join(parts) or NONE

    @property
    def limits(self) -> bool:
        """Whether it limits anything."""
        return self.requests is not None or self.daily is not None


NONE: Final = "none"
"""How it is written that nothing is limited."""


def changed(own: Rate | None, text: str) -> Rate:
    """What `text` makes of a provider's own rate: `10/s`, `30/min:5`, `750GB/day`, two of them
    joined by `+`, or `none`. What it does not speak of stays as it is. ValueError says what is
    wrong with it.
    """
    own = own or Rate()
    if text == NONE:
        return replace(own, requests=None, daily=None)
    parts = text.split("+")
    for part in parts:
        if (found := _REQUESTS.fullmatch(part)) is not None:
            own = _with_requests(own, found)
        elif (found := _DAILY.fullmatch(part)) is not None:
            own = _with_daily(own, found)
        else:
            raise ValueError(f"{part!r} is none of 10/s, 30/min:5, 750GB/day and none")
    return own


def _with_requests(own: Rate, found: re.Match[str]) -> Rate:
    requests = float(found["count"]) / _SECONDS[found["unit"]]
    if not _SLOWEST <= requests <= 1e6:
        raise ValueError("a rate is at least one request an hour, and at most a million a second")
    burst = (
        max(1, math.ceil(requests * _AT_ONCE)) if found["burst"] is None else int(found["burst"])
    )
    if not 1 <= burst <= 1_000_000:
        raise ValueError("a burst is at least one request, and at most a million")
    return replace(own, requests=requests, burst=burst)


def _with_daily(own: Rate, found: re.Match[str]) -> Rate:
    daily = float(found["count"]) * _BYTES[found["unit"].removesuffix("B")]
    if not 1 <= daily < _LARGEST:
        raise ValueError("a day's bytes are at least one, and below 2^62")
    return replace(own, daily=int(daily))


def _count(requests: float) -> str:
    for unit, seconds in _SECONDS.items():
        if (count := requests * seconds) >= 1:
            return f"{count:.6g}/{unit}"
    return f"{requests * 3600.0:.6g}/h"


def _bytes(size: int) -> str:
    unit = next(u for u, count in reversed(_BYTES.items()) if size % count == 0)
    return f"{size // _BYTES[unit]}{unit}B"
