"""Trying again: a backend round a backend that repeats what failed with UnavailableError.

The waits grow exponentially to a cap and are drawn at random from the upper half ("equal jitter",
Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that clients that
failed together do not come back together.

A repeated `put(if_absent=True)` may meet what its own first try had written and then raises
KeyExistsError: it never claims a win that it cannot be sure of.
"""

import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from ..errors import UnavailableError
from ..ids import Key
from . import waiting
from .base import Backend, Buffer, Listed, Properties, Usage

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long; times in seconds.

    At most `tries` tries. Before the second comes a wait of `first`, doubled before each further
    one up to `cap`; no try begins later than `deadline` after the first, waiting for turns not
    counted. A try under way is not cut short: that is the limit's business.
    """

    tries: int = 5
    first: float = 0.2
    cap: float = 5.0
    deadline: float = 30.0

    def wait(self, tried: int) -> float:
        """The longest wait after `tried` tries."""
        return min(self.cap, self.first * 2.0 ** min(tried - 1, 60))


DEFAULT: Final = RetryPolicy()


class RetryBackend:
    """`inner`, with every call repeated by `policy` while it is unavailable.

    Round another RetryBackend it takes the place of that one: tries do not multiply.
    """

    def __init__(self, inner: Backend, policy: RetryPolicy = DEFAULT) -> None:
        self._inner: Backend = inner._inner if isinstance(inner, RetryBackend) else inner
        self._policy = policy
        self._random = random.SystemRandom()

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def properties(self) -> Properties:
        """Those of the backend inside."""
        return self._inner.properties

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        await self._repeat("put", key, lambda: self._inner.put(key, parts, if_absent=if_absent))

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        await self._repeat("get", key, lambda: self._inner.get_into(key, offset, buffer))

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        return await self._repeat("get", key, lambda: self._inner.get(key, offset, size, most))

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        return await self._repeat("head", key, lambda: self._inner.head(key))

    async def age(self, key: Key) -> float:
        """See `Backend.age`."""
        return await self._repeat("age", key, lambda: self._inner.age(key))

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        await self._repeat("delete", key, lambda: self._inner.delete(key))

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. Repeated only until the first key: a key must not come twice."""
        listing, listed = await self._repeat("list", prefix, lambda: self._begin(prefix))
        async with aclosing(listing):
            while listed is not None:
                yield listed
                listed = await anext(listing, None)

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        return await self._repeat("usage", "", self._inner.usage)

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self._inner.aclose()

    async def _begin(self, prefix: str) -> tuple[AsyncGenerator[Listed, None], Listed | None]:
        listing = self._inner.list(prefix)
        return listing, await anext(listing, None)

    async def _repeat(self, what: str, key: str, call: Callable[[], Awaitable[T]]) -> T:
        latest = trio.current_time() + self._policy.deadline
        tried = 0
        while True:
            tried += 1
            try:
                with waiting.counted() as turn:
                    return await call()
            except UnavailableError as error:
                latest += turn.seconds
                longest = self._policy.wait(tried)
                wait = self._random.uniform(longest / 2, longest)
                if tried >= self._policy.tries or trio.current_time() + wait > latest:
                    raise
                log.debug("%s: %s %s again in %.2f s: %s", self.name, what, key, wait, error)
            await trio.sleep(wait)
