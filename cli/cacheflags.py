"""The disk cache as options and settings name it: where it is, and how much it may take."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from .settings import DEFAULT, Settings

if TYPE_CHECKING:
    from ..cas.cache.options import CacheOptions

CacheFolder = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Where the disk cache is; else in the store. A folder in memory (tmpfs) will do.",
        show_default=False,
    ),
]
CacheSize = Annotated[
    str | None,
    typer.Option(
        "--cache-size",
        metavar="SIZE",
        help="What the disk cache may take, 50GB by default; 0: nothing is kept.",
        show_default=False,
    ),
]
CacheLocal = Annotated[
    bool | None,
    typer.Option(
        "--cache-local/--no-cache-local",
        help="Cache what local backends hold as well; not by default.",
        show_default=False,
    ),
]


def cache_options(
    settings: Settings,
    folder: str | None = None,
    size: str | None = None,
    local: bool | None = None,
) -> "CacheOptions":
    """What is asked of the disk cache, by options, environment and configuration."""
    from ..cas.cache.options import CacheOptions

    free = settings.find("cache_free")
    return CacheOptions(
        settings.text("cache", folder) or os.path.join(settings.store, "cache"),
        int(settings.number("cache_size", size)),
        None if free.origin == DEFAULT else int(free.value),
        settings.switch("cache_local", local),
    )


def cache_arguments(options: "CacheOptions") -> list[str]:
    """The options that mean the same."""
    local = "--cache-local" if options.local else "--no-cache-local"
    return [f"--cache={options.folder}", f"--cache-size={options.size}", local]
