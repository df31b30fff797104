"""`python -m modelfloat.tests.support.addmemory SOURCE STORE` adds a folder to a new store, and
prints how many bytes of memory the process took at its peak, all of it."""

import sys
from pathlib import Path

import trio

from modelfloat.tests.support.memory import fresh_peak, peak
from modelfloat.tests.support.stores import add, fresh_store


async def _added(source: Path, path: Path) -> None:
    async with fresh_store(path, "2+1") as store:
        await add(store, source)


if __name__ == "__main__":
    fresh_peak()
    trio.run(_added, Path(sys.argv[1]), Path(sys.argv[2]))
    print(peak())
