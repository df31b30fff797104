"""Two folders over the backends of one store, each with an index of its own: two sites."""

from dataclasses import replace
from pathlib import Path

import trio

from modelfloat.backends.registry import is_local_path
from modelfloat.cas.store import Store
from modelfloat.config import read_config, write_config
from modelfloat.opening import rebuild_store


async def another_site(store: Path, folder: Path) -> Path:
    """A second site of the store at `store`, as another machine makes it: from the configuration
    and what lies on the backends."""
    await trio.Path(folder).mkdir()
    config = read_config(str(store))
    backends = tuple(
        replace(b, url=str(store / b.url)) if is_local_path(b.url) else b for b in config.backends
    )
    write_config(str(folder), replace(config, backends=backends))
    await rebuild_store(str(folder))
    return folder


def without_conditional_puts(store: Store) -> None:
    """Let no backend of an open store decide between its writers."""
    for member in store.members:
        known = member.backend.properties
        object.__setattr__(member.backend, "properties", replace(known, conditional_put=False))
