"""Stores that are read through a disk cache."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from modelfloat.cas.cache.datafile import DATA
from modelfloat.cas.cache.options import CacheOptions
from modelfloat.cas.read.options import ReadOptions
from modelfloat.cas.store import Store
from modelfloat.opening import open_store
from modelfloat.tests.support import waiting


@contextlib.asynccontextmanager
async def caching(path: Path, folder: Path, size: int = 10**9) -> AsyncIterator[Store]:
    """The store at `path`, open, with a disk cache in `folder` that leaves nothing free."""
    options = CacheOptions(str(folder), size, keep_free=0, local=True)
    async with open_store(str(path), reading=ReadOptions(cache=options)) as store:
        yield store


def cached_data(folder: Path) -> list[Path]:
    """The data files of all cached files."""
    return sorted(folder.glob(f"*/*{DATA}"))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the cache's own tasks and threads do."""
    await trio.to_thread.run_sync(waiting.until, condition)
