"""Two folders over the backends of one store, each with an index of its own: two sites."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from modelfloat.backends.registry import is_local_path
from modelfloat.cas.encryption.secrets import Secret
from modelfloat.cas.store import Store
from modelfloat.config import read_config
from modelfloat.finding import Place, find_store
from modelfloat.joining import JoinReport, join_store


async def join(folder: Path, *urls: str | Path | Place, secret: Secret | None = None) -> JoinReport:
    """Make a folder a site of the store that is at these places."""
    places = [url if isinstance(url, Place) else Place(str(url)) for url in urls]
    found = await find_store(str(folder), places)
    return await join_store(str(folder), found, secret=secret, reserve=0)


def places_of(store: Path) -> Sequence[Place]:
    """Where the backends of the store in that folder are."""
    return [
        Place(str(store / b.url) if is_local_path(b.url) else b.url, b.name)
        for b in read_config(str(store)).backends
    ]


async def another_site(store: Path, folder: Path, secret: Secret | None = None) -> Path:
    """A second site of the store at `store`, as another machine makes it: from what lies on the
    backends; an encrypted one with a `secret` that opens it."""
    await trio.Path(folder).mkdir()
    await join(folder, *places_of(store), secret=secret)
    return folder


def without_conditional_puts(store: Store) -> None:
    """Let no backend of an open store decide between its writers."""
    for member in store.members:
        known = member.backend.properties
        object.__setattr__(member.backend, "properties", replace(known, conditional_put=False))
