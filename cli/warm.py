"""`modelfloat warm`: have files in the disk cache before they are read, or out of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from .cacheflags import CacheFolder, CacheLocal, CacheSize, cache_options
from .completion import named
from .options import command
from .output import complain, human_size, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings
from .starting import allow_descriptors

if TYPE_CHECKING:
    from ..cas.cache.options import CacheOptions
    from ..cas.get.warming import EvictReport, WarmReport
    from ..cas.refnames import Address
    from ..cas.store import Store


@command
def warm(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME[@REV][/PATH]", "A repository, or a folder or file in one."),
    ],
    evict: Annotated[
        bool, typer.Option("--evict", help="Take it out of the disk cache instead.")
    ] = False,
    cache: CacheFolder = None,
    cache_size: CacheSize = None,
    cache_local: CacheLocal = None,
) -> int:
    """Fetch files into the disk cache, where mounts read them without asking any backend.

    What is there already is not fetched again, so an interrupted warm is simply repeated.
    """
    from ..cas.read.options import ReadOptions
    from ..cas.refnames import parse_address

    where = parse_address(address)
    options = cache_options(settings, cache, cache_size, cache_local)
    if evict:
        taken = in_store(settings, lambda store: _evict(store, options, where))
        return _tell_evicted(settings, taken)
    allow_descriptors()
    done = in_store(
        settings,
        lambda store: _warm(store, settings, where),
        ReadOptions(int(settings.number("memory")), options),
    )
    return _tell(settings, done)


async def _warm(store: "Store", settings: Settings, address: "Address") -> "WarmReport":
    from ..cas.get.warming import warm as fetch

    with progress_of(settings, "warm") as progress:
        return await fetch(store, address, progress)


async def _evict(store: "Store", options: "CacheOptions", address: "Address") -> "EvictReport":
    from ..cas.cache.folder import CacheFolder as Folder
    from ..cas.get.warming import evict

    return await evict(Folder(options.folder, store.id), store, address)


def _tell(settings: Settings, done: "WarmReport") -> int:
    for failure in done.failures:
        complain(failure)
    if settings.json:
        say_json(
            {
                "files": done.files,
                "bytes": done.bytes,
                "fetched": done.fetched,
                "failures": done.failures,
            }
        )
    elif not settings.quiet:
        files = plural(done.files, "file")
        say(f"{files}, {human_size(done.bytes)}, in the cache; {human_size(done.fetched)} fetched")
    return done.exit_status


def _tell_evicted(settings: Settings, taken: "EvictReport") -> int:
    if taken.busy:
        complain(
            f"{plural(taken.busy, 'file')} open in some mount: they stay until they are closed"
        )
    if settings.json:
        say_json({"files": taken.files, "bytes": taken.bytes, "busy": taken.busy})
    elif not settings.quiet:
        say(f"{plural(taken.files, 'file')}, {human_size(taken.bytes)}, taken out of the cache")
    return 1 if taken.busy else 0
