"""What `doctor` asks of the disk cache: whose it is, what it takes, whether it is used."""

import os
import stat
from collections.abc import Iterator

from .cachestats import folder_of
from .checks import Finding, examine, ok, warning
from .output import human_size, plural
from .settings import Settings


def examine_cache(settings: Settings) -> list[Finding]:
    """All findings about the store's disk cache."""
    return examine("disk cache", lambda: _look(settings))


def _look(settings: Settings) -> Iterator[Finding]:
    folder, options = folder_of(settings)
    try:
        found = os.lstat(folder.path)
    except FileNotFoundError:
        kept = "" if options.local else "; what is read from remote backends is kept there"
        where = f"none in {folder.path} yet{kept}" if options.size else "none, as cache_size is 0"
        yield ok("disk cache", where)
        return
    taken = folder.entries()
    used = sum(entry.size for entry in taken)
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        yield warning(
            "disk cache",
            f"{folder.path} is not this user's folder: nothing is cached in it",
            "name another one: `modelfloat config cache DIR`",
        )
    elif used and not options.size:
        yield warning(
            "disk cache",
            f"{human_size(used)} at {folder.path}, which nobody uses: cache_size is 0",
            f"rm -r {folder.path}",
        )
    elif used > options.size:
        yield warning(
            "disk cache",
            f"{human_size(used)} at {folder.path}, where it may take {human_size(options.size)}",
            f"mounts make room as files are closed; without one: rm -r {folder.path}",
        )
    else:
        yield from _room(folder.path, used, len(taken), options.size, folder.space()[0])


def _room(path: str, used: int, files: int, limit: int, free: int) -> Iterator[Finding]:
    what = f"{plural(files, 'file')}, {human_size(used)} of {human_size(limit)} at {path}"
    if free < min(limit - used, limit // 10):
        yield warning(
            "disk cache",
            f"{what}, but the disk has {human_size(free)} free",
            "free some space, or name a folder on another disk: `modelfloat config cache DIR`",
        )
    else:
        yield ok("disk cache", what)
