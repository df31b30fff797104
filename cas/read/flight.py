"""One load under way, by the event loop or by a thread that reads."""

import time
from dataclasses import dataclass, field
from threading import Lock

import trio

from ...ids import ChunkId
from ..packs.direct import Asked
from .cache import Loaded


@dataclass(slots=True)
class Flight:
    """One load under way, of one chunk if `alone`.

    When `landed` is set, `data` has the chunks; or it is empty and `failure` says why, None if the
    load was cancelled.
    """

    alone: bool
    landed: trio.Event = field(default_factory=trio.Event)
    data: dict[ChunkId, Loaded] = field(default_factory=dict)
    failure: Exception | None = None


def _locked() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass(slots=True)
class Claim(Flight):
    """A load by a thread, which has `begun` at that moment of the monotonic clock.

    The thread holds `busy` until the load has `ended`, and sets `landed` only where the event loop
    `awaited` it. `asked` tells which backend it waits for.
    """

    alone: bool = False
    busy: Lock = field(default_factory=_locked)
    ended: bool = False
    awaited: bool = False
    asked: Asked = field(default_factory=Asked)
    begun: float = field(default_factory=time.monotonic)
