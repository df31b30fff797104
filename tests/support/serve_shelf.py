"""A program: mounts the shelf in a folder, says `ready`, serves until it is unmounted or ended.

On SIGUSR1 it prints how many requests of each kind came since the last time.
"""

import logging
import sys
from pathlib import Path

import trio

from modelfloat.errors import ModelFloatError
from modelfloat.fuse.mounting import MountOptions, serve
from modelfloat.tests.support.bindings import binding_asked_for
from modelfloat.tests.support.counting import CountingBinding
from modelfloat.tests.support.shelf import Shelf


def main(folder: str, mountpoint: str) -> None:
    """Serve; a failure of ours is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    shelf = Shelf(Path(folder))
    try:
        trio.run(_serve, shelf, mountpoint)
    except* ModelFloatError as group:
        error = group.exceptions[0]
        sys.exit(f"{type(error).__name__}: {error}")
    finally:
        shelf.close()


async def _serve(shelf: Shelf, mountpoint: str) -> None:
    binding = CountingBinding(binding_asked_for())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(binding.tell)
        await serve(
            shelf, mountpoint, MountOptions(), lambda: print("ready", flush=True), binding=binding
        )
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    main(*sys.argv[1:])
