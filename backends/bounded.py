"""Listings of what there is little of, which end: a backend may name keys on and on."""

from contextlib import aclosing
from typing import Final

from ..errors import UnavailableError
from .base import Backend, Listed

FEW: Final = 100_000
"""Keys, where there is a handful."""


async def listed_below(backend: Backend, prefix: str, most: int = FEW) -> list[Listed]:
    """All keys below `prefix`; what the backend says where it cannot list them.

    UnavailableError where it names more than `most`, as many as nobody has.
    """
    found: list[Listed] = []
    async with aclosing(backend.list(prefix)) as listing:
        async for listed in listing:
            found.append(listed)
            if len(found) > most:
                raise UnavailableError(
                    f"backend {backend.name} names more than {most:,} keys below {prefix}, as "
                    "many as nobody has: look who writes to it, and delete what is not the store's "
                    "there",
                    backend=backend.name,
                )
    return found
