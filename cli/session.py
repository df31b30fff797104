"""One command's time with an open store."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from .keysource import secret_of
from .settings import Settings
from .signkeys import signing_of
from .starting import imported

if TYPE_CHECKING:
    from ..cas.catalog import Catalog
    from ..cas.encryption.secrets import Secret
    from ..cas.read.options import ReadOptions
    from ..cas.store import Store

_T = TypeVar("_T")


def in_store(
    settings: Settings,
    work: Callable[["Store"], Awaitable[_T]],
    reading: "ReadOptions | None" = None,
    *,
    ask: bool = True,
    secret: "Secret | None" = None,
    signed: bool | None = None,
    refresh: float | None = None,
) -> _T:
    """Open the store, await `work(store)` in an event loop of its own, close the store.

    An encrypted one is opened by `secret`, else by what was given; with `ask`, for work that cannot
    be done without the key, the terminal is asked for it. `signed` says whether refs must be, None
    that the settings do. Other machines are followed every `refresh` seconds, None for the
    setting's.
    """
    import trio

    from ..cas.read.options import ReadOptions
    from ..opening import open_store
    from .sources import fetch_by

    asked = reading or ReadOptions(memory=int(settings.number("memory")))
    settings.refuse_unknown()
    imported()

    fetch = fetch_by(settings)
    opens = secret or secret_of(settings, ask=ask)
    signing = signing_of(settings)

    required = settings.require_signature if signed is None else signed
    often = settings.number("refresh", refresh)

    async def session() -> _T:
        async with open_store(
            settings.store,
            wait=settings.wait,
            reading=asked,
            fetch=fetch,
            secret=opens,
            signing=signing,
            require_signature=required,
            refresh=often,
        ) as store:
            return await work(store)

    return trio.run(session)


def in_catalog(settings: Settings, work: Callable[["Catalog"], _T]) -> _T:
    """`work(catalog)` with nothing but the store's index open where that does, else with all of
    it; see `catalog_of`."""
    with catalog_of(settings) as catalog:
        if catalog is not None:
            return work(catalog)

    async def with_store(store: "Store") -> _T:
        return work(store)

    return in_store(settings, with_store, ask=False)


@contextlib.contextmanager
def catalog_of(settings: Settings) -> Iterator["Catalog | None"]:
    """What the index alone tells, in the `with` statement; None where the store has to be opened:
    where other machines are to be followed, names to be decrypted or signatures to be checked."""
    from ..listing import open_catalog

    settings.refuse_unknown()
    if settings.require_signature:
        yield None
        return
    with open_catalog(settings.store, settings.number("refresh")) as catalog:
        if catalog is not None:
            imported()
        yield catalog
