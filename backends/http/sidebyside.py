"""The same question about several things at once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from ...errors import one_failure

T = TypeVar("T")
U = TypeVar("U")


async def side_by_side(ask: Callable[[T], Awaitable[U]], about: Sequence[T]) -> list[U]:
    """What `ask` answers about each, in order; all are asked at once. One failure if any fail."""
    answers: dict[int, U] = {}

    async def one(index: int) -> None:
        answers[index] = await ask(about[index])

    with one_failure():
        async with trio.open_nursery() as nursery:
            for index in range(len(about)):
                nursery.start_soon(one, index)
    return [answers[index] for index in range(len(about))]
