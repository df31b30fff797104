"""What the shell offers when Tab is pressed on a `VENDOR/NAME[/PATH]`."""

import logging
import os
from typing import TYPE_CHECKING, Any

import typer

from .settings import Flags, resolve

if TYPE_CHECKING:
    from ..cas.index.index import Index


def named(metavar: str, help_: str) -> Any:
    """An argument that names something in the store, offered when Tab is pressed."""
    return typer.Argument(
        metavar=metavar, help=help_, show_default=False, autocompletion=complete_address
    )


def complete_address(context: typer.Context, incomplete: str) -> list[str]:
    """Repositories, and the paths in one, that continue `incomplete`.

    Only the index is opened, no backend. A failure offers nothing: the shell is in the middle of a
    line, where a message would be in the way.
    """
    try:
        return _candidates(_store_of(context), incomplete)
    except Exception as error:  # noqa: BLE001  whatever it is, there is nothing to offer
        logging.getLogger(__name__).debug("completion of %r: %s", incomplete, error)
        return []


def _store_of(context: typer.Context) -> str:
    outer = context.find_root().params.get("store")
    return resolve(Flags(store=context.params.get("store") or outer)).store


def _candidates(store: str, incomplete: str) -> list[str]:
    from ..cas.encryption.storecipher import LOCKED
    from ..cas.index.index import Index
    from ..config import read_config

    # `open` would say the same, but this is reached for every Tab before there is a store.
    if not os.path.isdir(os.path.join(store, "index")):
        return []
    index = Index.open(os.path.join(store, "index"))
    if read_config(store).encrypted:
        index.ids = LOCKED.ids  # nobody is asked for a passphrase at a Tab
    try:
        if incomplete.count("/") >= 2:
            return _paths(index, incomplete)
        repositories = sorted({str(head.repo) for head in index.refs()})
        return [name for name in repositories if name.startswith(incomplete)]
    finally:
        index.close()


def _paths(index: "Index", incomplete: str) -> list[str]:
    from ..cas.addressed import look_up
    from ..cas.formats.tree import EntryType
    from ..cas.objects import Objects
    from ..cas.refnames import parse_address
    from ..cas.refs import Refs

    folder, _, _ = incomplete.rpartition("/")
    address = parse_address(folder)
    objects = Objects(index)
    directory = look_up(objects, Refs(index, objects), address).directory
    if directory is None:
        return []
    entries = objects.directory(directory).entries()
    names = (os.fsdecode(e.name) + "/" * (e.type is EntryType.DIRECTORY) for e in entries)
    return [path for name in names if (path := f"{folder}/{name}").startswith(incomplete)]
