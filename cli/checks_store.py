"""What `doctor` asks of a store's own folder: configuration, disk, index, packs, leftovers."""

import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .checks import Finding, examine, ok, problem, warning
from .checks_index import examine_index
from .output import human_size, plural

if TYPE_CHECKING:
    from ..storeconfig import StoreConfig

LITTLE: Final = 2_000_000_000
"""Free bytes below which a folder is short of space."""
FULL: Final = 1_000_000
"""Free bytes below which nothing can be stored any more."""
MAKE_ROOM: Final = "`modelfloat rm` what is not needed, then `modelfloat gc --grace 0`"
_TEMPORARY: Final = re.compile(r"config\.toml\.[0-9a-f]{8}")


def examine_store(store: str) -> list[Finding]:
    """All findings about the store's folder; one warning where there is no store."""
    if not is_store(store):
        return [no_store(store)]
    index = os.path.join(store, "index")
    return [
        *examine("config", lambda: configuration(store)),
        *examine("disk space", lambda: space(store)),
        *examine("reserve", lambda: reserve(store)),
        *examine("filesystem", lambda: filesystem(index)),
        *examine_index(index, store),
        *examine("leftovers", lambda: leftovers(store)),
    ]


def is_store(store: str) -> bool:
    """Whether there is a store in that folder, or what is left of one."""
    return any(os.path.lexists(os.path.join(store, name)) for name in ("config.toml", "index"))


def no_store(store: str) -> Finding:
    """There is nothing to check but the machine."""
    return warning(
        "store",
        f"there is none at {store}: only the machine was checked",
        "make one with `modelfloat init`, or name another with --store",
    )


def configuration(store: str) -> Iterator[Finding]:
    """config.toml can be read, by its owner only."""
    from ..config import config_path, read_config

    config = read_config(store)
    path = config_path(store)
    if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
        yield warning(
            "config",
            f"{path} can be read by others, and URLs may hold secrets",
            f"chmod 600 {path}",
        )
    else:
        count = plural(len(config.backends), "backend")
        kept = ", encrypted" if config.encrypted else ""
        yield ok("config", f"{path}: {config.scheme}, {count}{kept}, store {config.id.hex()}")
    if config.encrypted:
        yield keyring(store, config)


def keyring(store: str, config: "StoreConfig") -> Finding:
    """The folder's copy of the keyring can be used, so no backend is needed to open the store."""
    from ..unlocking import local_record

    record = local_record(store, config)
    if record is None:
        return warning(
            "keyring",
            "the folder has no copy that can be used; the backends are asked for theirs",
            "`modelfloat verify --repair`",
        )
    return ok("keyring", f"{plural(len(record.slots), 'key')} may open the store")


def space(store: str) -> Iterator[Finding]:
    """There is room for the index, and the folder can be written to."""
    found = os.statvfs(store)
    free = found.f_bavail * found.f_frsize
    if found.f_flag & os.ST_RDONLY:
        yield problem("disk space", f"{store} is on a read-only filesystem", "mount it writable")
    elif not os.access(store, os.W_OK | os.X_OK):
        yield problem("disk space", f"{store} may not be written by you", "run as its owner")
    elif free < FULL:
        yield problem(
            "disk space", f"{human_size(free)} free at {store}: the disk is full", MAKE_ROOM
        )
    elif free < LITTLE:
        yield warning(
            "disk space",
            f"{human_size(free)} free at {store}: the index may not grow much more",
            "free some space; `modelfloat gc` removes what nothing uses",
        )
    else:
        yield ok("disk space", f"{human_size(free)} free at {store}")


def reserve(store: str) -> Iterator[Finding]:
    """The file that is given up when a disk is full, so that rm and gc still work."""
    path = os.path.join(store, "reserve")
    try:
        found = os.stat(path)
        size, wanted = found.st_blocks * 512, found.st_size > 0
    except FileNotFoundError:
        size, wanted = 0, True
    if not wanted:
        yield ok("reserve", "none, as it was asked for when the store was made")
    elif size:
        yield ok("reserve", f"{human_size(size)} are kept for `rm` and `gc` on a full disk")
    else:
        yield warning(
            "reserve",
            f"{path} is not there: on a full disk `rm` and `gc` may have no room to work",
            "free some space and run `modelfloat gc`",
        )


def filesystem(path: str) -> Iterator[Finding]:
    """The index lies on a local filesystem: LMDB's locks and its map are wrong over a network."""
    from ..cas.index.networkfs import filesystem_type, refuse_network

    refuse_network(path)
    yield ok("filesystem", f"the index is on {filesystem_type(path) or 'an unknown filesystem'}")


def leftovers(store: str) -> Iterator[Finding]:
    """Files that an interrupted change of the configuration or of a backend left."""
    left = [name for name in os.listdir(store) if _TEMPORARY.fullmatch(name)]
    own = os.path.join(store, "backends")
    if os.path.isdir(own):
        left += [f"backends/{name}" for name in os.listdir(own) if name.endswith(".new")]
    for name in sorted(left):
        path = os.path.join(store, name)
        yield warning("leftovers", f"{path} was left by an interrupted command", f"rm -r {path}")
    if not left:
        yield ok("leftovers", "none in the store's folder")
