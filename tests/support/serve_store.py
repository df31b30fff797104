"""A program: mounts a real store whose cache holds next to nothing, says `ready`, and serves.

What programs read at random is loaded again and again, as from a store much larger than memory.
"""

import logging
import sys
from functools import partial

import trio

from modelfloat.cas.read.options import ReadOptions
from modelfloat.errors import ModelFloatError
from modelfloat.fuse.mounting import MountOptions, serve
from modelfloat.opening import open_store
from modelfloat.tests.support.bindings import binding_asked_for

SMALL = 2 << 20
"""Bytes that reading may keep: two chunks."""


def main(folder: str, mountpoint: str) -> None:
    """Serve; a failure of ours is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        trio.run(_serve, folder, mountpoint)
    except* ModelFloatError as group:
        error = group.exceptions[0]
        sys.exit(f"{type(error).__name__}: {error}")


async def _serve(folder: str, mountpoint: str) -> None:
    async with open_store(folder, reading=ReadOptions(memory=SMALL)) as store:
        ready = partial(print, "ready", flush=True)
        await serve(store, mountpoint, MountOptions(), ready, binding=binding_asked_for())


if __name__ == "__main__":
    main(*sys.argv[1:])
