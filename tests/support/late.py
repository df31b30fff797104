"""A backend as a busy server is one: a put that was given up is carried out all the same, later."""

from collections.abc import Sequence
from typing import Final

import trio

from modelfloat.backends.base import Backend, Buffer
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.ids import Key

TAKES: Final = 1.0
"""Seconds from a put to its being carried out, if nothing else is said; a delete takes none."""


class LateBackend(FaultyBackend):
    """`inner`, whose puts a task of `server` carries out, whether anybody waits for them or not, so
    many seconds after they were begun as it `takes` then."""

    def __init__(self, inner: Backend, server: trio.Nursery) -> None:
        super().__init__(inner)
        self._server = server
        self.takes = TAKES

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        done, data = trio.Event(), [bytes(part) for part in parts]
        self._server.start_soon(self._carry_out, key, data, if_absent, done)
        await done.wait()

    async def _carry_out(
        self, key: Key, parts: list[bytes], if_absent: bool, done: trio.Event
    ) -> None:
        await trio.sleep(self.takes)
        await super().put(key, parts, if_absent=if_absent)
        done.set()
