"""Two clocks: how long something has lain on a backend, and how long it is here since a moment.

A backend's `age` may be told by the clock of whoever asks, so an age alone proves nothing where
that clock is wrong. Two ages of the same moment differ by what the backend's own clock went on
between two writes, whatever the asker's clock shows: so one's own site record is written anew, and
its age taken off.

Here the time counts that goes on while the machine sleeps: a lease is lost in that time too.
"""

import time
from collections.abc import Callable

from ...backends.base import Backend
from ...backends.keys import site_key
from ...ids import Key, SiteId, StoreId
from ..formats.presence import NOBODY, Presence, PresenceRecord, encode_presence

Clock = Callable[[], float]
"""Seconds since some moment; it never goes back, and never stops."""


def boottime() -> float:
    """Seconds since this machine was started, those counted in which it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def quiet_for(backend: Backend, key: Key, store: StoreId, site: SiteId) -> float:
    """Seconds from the last write of `key` to now by the backend's own clock, or less than that.

    KeyNotFoundError when it is gone.
    """
    await backend.put(site_key(site), [encode_presence(site_record(store, site))])
    age = await backend.age(key)
    # Asked last: what passes between the two questions makes the answer less, never more.
    return max(0.0, age - await backend.age(site_key(site)))


def site_record(store: StoreId, site: SiteId) -> PresenceRecord:
    """The record that a site writes to a store."""
    return PresenceRecord(Presence.SITE, store, site, NOBODY, 0, 0, held=False)
