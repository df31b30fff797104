"""`modelfloat get`: write a repository, or a part of one, into the file system."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_address
from .options import command
from .output import human_size, plural, say, say_json, shown
from .progress import progress_of
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.formats.tree import Entry
    from ..cas.store import Store
    from ..ids import ObjectId
    from .extract import Extracted, Extractor


@command
def get(
    settings: Settings,
    address: Annotated[
        str,
        typer.Argument(
            metavar="VENDOR/NAME[@REV][/PATH]",
            help="A repository, or a folder or file in one.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ],
    dest: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="A folder for the contents of a repository or folder; for a file its new name, or "
            "a folder that is there.",
            show_default=False,
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there and differ.")
    ] = False,
) -> None:
    """Write a repository, or a folder or file of one, to DEST."""
    done = in_store(settings, lambda store: _get(store, settings, address, dest, force=force))
    if settings.json:
        say_json(
            {
                "files": done.files,
                "links": done.links,
                "bytes": done.bytes,
                "unchanged": done.unchanged,
            }
        )
    elif not settings.quiet:
        links = f" and {plural(done.links, 'link')}" if done.links else ""
        same = f"; {done.unchanged:,} were there already" if done.unchanged else ""
        written = f"{plural(done.files, 'file')}{links}, {human_size(done.bytes)}{same}"
        say(f"{shown(os.fsencode(dest))}: {written}")


async def _get(
    store: "Store", settings: Settings, text: str, dest: str, *, force: bool
) -> "Extracted":
    from ..cas.refnames import parse_address
    from .extract import Extractor
    from .trees import find, size_of

    found = find(store, parse_address(text))
    with progress_of(settings, "get") as progress:
        extractor = Extractor(store, progress, force=force)
        if found.directory is not None:
            progress.total = size_of(store.objects, found.directory)
            await _get_directory(extractor, found.directory, dest)
        elif found.entry is not None:
            progress.total = found.entry.size
            await _get_entry(extractor, found.entry, dest)
    return extractor.done


async def _get_directory(extractor: "Extractor", tree: "ObjectId", dest: str) -> None:
    os.makedirs(dest, exist_ok=True)
    with _folder(dest) as folder:
        await extractor.directory(tree, folder, dest.rstrip("/"))


async def _get_entry(extractor: "Extractor", entry: "Entry", dest: str) -> None:
    parent, name = _place(dest, entry.name)
    with _folder(parent) as folder:
        await extractor.entry(entry, folder, name, parent.rstrip("/"))


def _place(dest: str, name: bytes) -> tuple[str, bytes]:
    """The folder and the name that one file gets."""
    if dest.endswith("/") or os.path.isdir(dest):
        return dest, name
    parent, base = os.path.split(dest)
    return parent or ".", os.fsencode(base)


@contextlib.contextmanager
def _folder(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
