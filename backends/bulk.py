"""Many keys deleted by few calls, where a backend can do that; key by key where it cannot.

Who can has a `bulk`, itself or what stands behind it. It deletes all of the keys or fails, and then
nobody knows which are gone: so each is deleted by itself, which tells. Only shards and records of
condemned packs go so: these keys are no folders of others, nor below others. A server that keeps
keys as files may take one for the other, and nobody looks first here.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import trio

from ..errors import BackendError
from ..ids import Key
from .base import Backend
from .keys import parse_condemned_key, parse_shard_key
from .retry import RetryBackend

TOGETHER: Final = 250
"""Keys in one call; S3 takes 1000, and a server may need some milliseconds for each."""
AT_ONCE: Final = 8
"""Keys that are deleted at once where each takes a call."""


class Bulk(Protocol):
    """The part of a backend that deletes many keys at once."""

    async def delete_many(self, keys: Sequence[Key]) -> None:
        """`Backend.delete` of each; BackendError where any of them may be there still."""
        ...


def bulk(backend: Backend) -> Bulk | None:
    """How to delete many keys of that backend at once; None where each takes a call."""
    found: Bulk | None = getattr(backend, "bulk", None)
    return found


async def delete_all(
    backend: Backend,
    keys: Sequence[Key],
    before: Callable[[], None],
    goes_on: Callable[[BackendError], bool],
) -> dict[Key, BackendError]:
    """Delete keys, and call `before` before each call that does; what was said of those that are
    not known to be gone. `goes_on` is told each failure, and says whether to try the others."""
    failed: dict[Key, BackendError] = {}
    for start in range(0, len(keys), TOGETHER):
        part = keys[start : start + TOGETHER]
        if not await _together(backend, part, before):
            failed |= await _one_by_one(backend, part, before, goes_on)
    return failed


async def _together(backend: Backend, keys: Sequence[Key], before: Callable[[], None]) -> bool:
    """Whether all of them were deleted at once."""
    able = bulk(backend)
    if able is None or len(keys) < 2 or not all(map(_stands_alone, keys)):
        return False
    before()
    try:
        await able.delete_many(keys)
    except BackendError:
        return False
    return True


def _stands_alone(key: Key) -> bool:
    return parse_shard_key(key) is not None or parse_condemned_key(key) is not None


async def _one_by_one(
    backend: Backend,
    keys: Sequence[Key],
    before: Callable[[], None],
    goes_on: Callable[[BackendError], bool],
) -> dict[Key, BackendError]:
    failed: dict[Key, BackendError] = {}
    pending, retrying = iter(keys), RetryBackend(backend)
    end: BackendError | None = None

    async def run() -> None:
        nonlocal end
        for key in pending:
            if end is not None:
                failed[key] = end
                continue
            before()
            try:
                await retrying.delete(key)
            except BackendError as error:
                failed[key] = error
                end = end if goes_on(error) else error

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(run)
    return failed
