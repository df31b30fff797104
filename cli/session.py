"""One command's time with an open store."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from .settings import Settings
from .starting import imported

if TYPE_CHECKING:
    from ..cas.read.options import ReadOptions
    from ..cas.store import Store

_T = TypeVar("_T")


def in_store(
    settings: Settings,
    work: Callable[["Store"], Awaitable[_T]],
    reading: "ReadOptions | None" = None,
) -> _T:
    """Open the store, await `work(store)` in an event loop of its own, close the store."""
    import trio

    from ..cas.read.options import ReadOptions
    from ..opening import open_store
    from .sources import fetch_by

    asked = reading or ReadOptions(memory=int(settings.number("memory")))
    settings.refuse_unknown()
    imported()

    fetch = fetch_by(settings)

    async def session() -> _T:
        async with open_store(
            settings.store, wait=settings.wait, reading=asked, fetch=fetch
        ) as store:
            return await work(store)

    return trio.run(session)
