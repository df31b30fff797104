"""Whether a backend decides conditional puts: tried, never assumed.

Some servers take a put with `If-None-Match: *` for a plain one and overwrite (`rclone serve s3`,
`juicefs gateway`), some refuse it, some let two writers of one moment both win. So it is tried when
a backend is added, with keys that nobody else knows, and the answer is kept in the configuration.
"""

import contextlib
import logging
import secrets
from typing import Final

import trio

from ..errors import BackendError, DeniedError, KeyExistsError, UnavailableError
from ..ids import Key
from .base import Backend
from .keys import check_key

PREFIX: Final = "probe/"
"""What keys of probes begin with; they are gone when it ends."""
RACERS: Final = 6
"""Writers that race for one key."""
LONGEST: Final = 5
"""Bytes of the longest value that a probe writes."""

log = logging.getLogger(__name__)


async def keeps_conditions(backend: Backend) -> bool:
    """Whether `put(if_absent=True)` of a backend, opened as if it decided it, has one winner.

    BackendError where it cannot be reached, or refuses plain puts as well.
    """
    name = secrets.token_hex(16)
    first, second = check_key(f"{PREFIX}{name}-0"), check_key(f"{PREFIX}{name}-1")
    try:
        return await _refuses_the_second(backend, first) and await _has_one_winner(backend, second)
    finally:
        with trio.move_on_after(10, shield=True), contextlib.suppress(BackendError):
            for key in (first, second):
                await backend.delete(key)


async def _refuses_the_second(backend: Backend, key: Key) -> bool:
    try:
        await backend.put(key, [b"first"], if_absent=True)
    except DeniedError as refusal:
        await backend.put(key, [b"plain"])
        log.info("backend %s takes no conditional puts: %s", backend.name, refusal)
        return False
    try:
        await backend.put(key, [b"second"], if_absent=True)
    except KeyExistsError:
        return await backend.get(key, most=LONGEST) == b"first"
    return False


async def _has_one_winner(backend: Backend, key: Key) -> bool:
    won: list[bytes] = []

    async def race(number: int) -> None:
        value = b"%d" % number
        # Who is told to come again later has not won either.
        with contextlib.suppress(KeyExistsError, UnavailableError):
            await backend.put(key, [value], if_absent=True)
            won.append(value)

    async with trio.open_nursery() as nursery:
        for number in range(RACERS):
            nursery.start_soon(race, number)
    return len(won) == 1 and await backend.get(key, most=LONGEST) == won[0]
