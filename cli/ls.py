"""`modelfloat ls`: repositories, or what one holds."""

import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .completion import named
from .options import command
from .output import (
    columns,
    human_size,
    human_time,
    iso_time,
    say,
    say_columns,
    say_json,
    say_json_list,
    shown,
    text_of,
)
from .session import in_catalog, in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.catalog import Catalog
    from ..cas.formats.tree import Entry
    from ..cas.refnames import RepoName
    from ..cas.store import Store


REFS_SHOWN: Final = 8
"""Branches and tags of a repository that are named; --json names all."""


@command
def ls(
    settings: Settings,
    address: Annotated[
        str | None,
        named("[VENDOR[/NAME[@REV][/PATH]]]", "What to list; every repository when left out."),
    ] = None,
    long: Annotated[
        bool,
        typer.Option(
            "-l",
            help="Of files show mode, size, time and CID too; of repositories what removing each "
            "frees, the scheme of their new packs, and branches and tags.",
        ),
    ] = False,
) -> None:
    """List repositories, or the files of one."""
    if address is None or "/" not in address.rstrip("/"):
        vendor = address.rstrip("/") if address else None
        in_store(
            settings, lambda store: _repositories(store, settings, vendor, long=long), ask=False
        )
    else:
        text = address
        in_catalog(settings, lambda store: _entries(store, settings, text, long=long))


@dataclass(frozen=True, slots=True)
class Summary:
    """One repository: by its branch main, or by its newest ref where it has no such branch.

    `ref` is the ref that it is shown by, `refs` are all; `erasure` is the scheme of its new packs.
    """

    name: str
    ref: str
    size: int
    files: int
    updated_ns: int
    refs: list[str]
    health: str
    frees: int | None
    erasure: str


async def _repositories(
    store: "Store", settings: Settings, vendor: str | None, *, long: bool
) -> None:
    repositories = store.refs.repositories(vendor)
    if vendor and not repositories:
        from ..errors import NotFoundError

        raise NotFoundError(f"there is no vendor {vendor}; `modelfloat ls` shows what is")
    health = await store.health()
    found = []
    for repo in repositories:
        # What each frees takes a walk through all that the others reach.
        frees = await store.frees(repo) if long else None
        found.append(summarize(store, repo, health.get(str(repo), "ok"), frees))
    if settings.json:
        say_json([{**asdict(each), "updated": iso_time(each.updated_ns)} for each in found])
    elif found:
        # Told where repositories differ: else `stats` says what all have.
        own = long and any(each.erasure != str(store.scheme) for each in found)
        more = [*["erasure"] * own, *["refs"] * long]
        head = ["name", "size", *["frees"] * long, "files", "updated", "health", *more]
        rows = [_row(each, own=own) for each in found]
        say(columns([head, *rows], f"<>{'>' * long}><<{'<' * len(more)}"))


def _row(each: Summary, *, own: bool) -> list[str]:
    from ..cas.refnames import DEFAULT_BRANCH

    frees = [] if each.frees is None else [human_size(each.frees)]
    # One without main says what its figures are of, and so how it is read.
    name = each.name if each.ref == DEFAULT_BRANCH else f"{each.name}@{each.ref}"
    refs = [] if each.frees is None else [*[each.erasure] * own, _refs(each.refs)]
    updated, size = human_time(each.updated_ns), human_size(each.size)
    return [shown(name.encode()), size, *frees, f"{each.files:,}", updated, each.health, *refs]


def _refs(refs: list[str]) -> str:
    more = f" and {len(refs) - REFS_SHOWN:,} more" if len(refs) > REFS_SHOWN else ""
    return shown(", ".join(refs[:REFS_SHOWN]).encode()) + more


def summarize(store: "Store", repo: "RepoName", health: str, frees: int | None) -> Summary:
    """What there is to say of a repository."""
    from ..cas.addressed import shown_head
    from ..cas.schemes import own_scheme
    from ..cas.treesize import below, size_of

    heads = store.refs.heads(repo)
    head = shown_head(heads)
    tree = store.objects.commit(head.commit).tree
    return Summary(
        str(repo),
        head.ref,
        size_of(store.objects, tree),
        below(store.objects, tree).files,
        max(head.time_ns for head in heads),
        sorted({head.ref for head in heads}),
        health,
        frees,
        str(own_scheme(store.refs, store.objects, repo, head.ref) or store.scheme),
    )


def _entries(store: "Catalog", settings: Settings, text: str, *, long: bool) -> None:
    from ..cas.addressed import look_up
    from ..cas.refnames import parse_address

    found = look_up(store.objects, store.refs, parse_address(text))
    if found.entry is not None and found.directory is None:
        entries: Iterable[Entry] = [found.entry]
    else:
        entries = store.objects.directory(found.directory or found.root).entries()
    if settings.json:
        alone = found.directory is None
        say_json_list(_document(store, entry, long=long, alone=alone) for entry in entries)
    elif long and store.objects.ids.keyed:
        say_columns(map(_long, entries), "<><<")
    elif long:
        say_columns((_with_cid(store, entry) for entry in entries), "<><<<")
    else:
        for entry in entries:
            say(_marked(entry))


def _document(store: "Catalog", entry: "Entry", *, long: bool, alone: bool) -> dict[str, object]:
    """An entry; with `long` a file's BLAKE3 and CID too, which take a look at its manifest, and its
    chunks where it was asked for `alone`."""
    from ..cas.formats.tree import EntryType

    if not long or entry.type is not EntryType.FILE:
        return entry_document(entry)
    manifest = store.objects.manifest(entry.object)
    document = {**entry_document(entry), "blake3": manifest.blake3.hex()}
    cid = store.objects.cid(manifest.blake3)
    if cid is None:
        return document
    document["cid"] = str(cid)
    if alone:
        document["chunks"] = [
            {"offset": span.offset, "size": span.raw, "cid": str(store.objects.cid(span.id))}
            for span in store.objects.recipe(manifest).all()
        ]
    return document


def entry_document(entry: "Entry") -> dict[str, object]:
    """An entry as `--json` prints it; `object` is its manifest or tree, `target` a link's text."""
    from ..cas.formats.tree import EntryType

    link = entry.type is EntryType.SYMLINK
    what = {"target": text_of(entry.target)} if link else {"object": entry.target.hex()}
    return {
        "name": text_of(entry.name),
        "type": entry.type.name.lower(),
        "mode": f"{entry.mode & 0o7777:04o}",
        "size": entry.size,
        "mtime": iso_time(entry.mtime_ns),
        "mtime_ns": entry.mtime_ns,
        **what,
    }


def _long(entry: "Entry") -> list[str]:
    from ..cas.formats.tree import EntryType

    kinds = {EntryType.DIRECTORY: stat.S_IFDIR, EntryType.SYMLINK: stat.S_IFLNK}
    mode = stat.filemode(kinds.get(entry.type, stat.S_IFREG) | entry.mode & 0o7777)
    name = _marked(entry)
    if entry.type is EntryType.SYMLINK:
        name += f" -> {shown(entry.target)}"
    return [mode, human_size(entry.size), human_time(entry.mtime_ns), name]


def _with_cid(store: "Catalog", entry: "Entry") -> list[str]:
    """The same, with a file's CID before its name."""
    from ..cas.formats.tree import EntryType

    cid = "-"
    if entry.type is EntryType.FILE:
        cid = str(store.objects.cid(store.objects.manifest(entry.object).blake3))
    *others, name = _long(entry)
    return [*others, cid, name]


def _marked(entry: "Entry") -> str:
    from ..cas.formats.tree import EntryType

    return shown(entry.name) + "/" * (entry.type is EntryType.DIRECTORY)
