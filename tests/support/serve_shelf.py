"""A program: mounts the shelf in a folder, says `ready`, serves until it is unmounted or ended."""

import logging
import sys
from pathlib import Path

import trio

from modelfloat.errors import ModelFloatError
from modelfloat.fuse.mounting import MountOptions, serve
from modelfloat.tests.support.shelf import Shelf


def main(folder: str, mountpoint: str) -> None:
    """Serve; a failure of ours is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    shelf = Shelf(Path(folder))
    try:
        trio.run(serve, shelf, mountpoint, MountOptions(), lambda: print("ready", flush=True))
    except ModelFloatError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    finally:
        shelf.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
