"""`modelfloat show`: one commit and what it changed, or one file and what it is made of."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from .completion import named
from .log import author_of
from .ls import entry_document
from .options import command
from .output import (
    columns,
    human_size,
    human_time,
    iso_time,
    one_line,
    plural,
    say,
    say_columns,
    say_json_parts,
    shown,
    text_of,
)
from .session import in_catalog
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.catalog import Catalog
    from ..cas.formats.manifest import Manifest
    from ..cas.formats.tree import Entry
    from ..cas.history.showing import ShownCommit, ShownEntry
    from ..cas.history.treechanges import Changed
    from ..cas.read.regions import StoredTensor

TENSORS: Final = 50
"""Tensors of a file that are listed, unless --verbose."""


@command
def show(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME[@REV][/PATH]", "The commit, or a file or folder in it."),
    ],
) -> None:
    """Show a commit and what it changed, or what a file is made of.

    Of a merge the changes are those against its first parent. Nothing is read from the backends.
    """
    in_catalog(settings, lambda store: _show(store, settings, address))


def _show(store: "Catalog", settings: Settings, text: str) -> None:
    from ..cas.history.showing import ShownCommit, shown_at
    from ..cas.refnames import parse_address

    found = shown_at(store.objects, store.refs, parse_address(text))
    if isinstance(found, ShownCommit):
        _commit(store, settings, found)
    elif found.manifest is not None:
        _file(store, settings, found, found.manifest)
    else:
        _other(store, settings, found)


# A commit


def _commit(store: "Catalog", settings: Settings, found: "ShownCommit") -> None:
    from ..cas.history.showing import changes_of

    changed = changes_of(store.objects, found.commit)
    if settings.json:
        say_json_parts(_commit_parts(found, changed))
        return
    say(_commit_head(found))
    message = found.commit.message.strip()
    say("".join(f"\n    {one_line(line)}" for line in message.splitlines()) + "\n")
    say_columns(map(_changed_row, changed), "<<<")


def _commit_head(found: "ShownCommit") -> str:
    commit = found.commit
    names = f" ({one_line(', '.join(found.refs))})" if found.refs else ""
    rows = [["commit", found.id.hex() + names]]
    rows += [["parent", parent.hex()] for parent in commit.parents]
    rows += [
        ["author", author_of(commit)],
        ["date", human_time(commit.time_ns)],
        ["size", human_size(found.size)],
    ]
    return columns(rows, "<<")


def _changed_row(each: "Changed") -> list[str]:
    sign = "+" if each.old is None else "-" if each.new is None else "~"
    old, new = (_content(entry) for entry in (each.old, each.new))
    content = " → ".join(dict.fromkeys(filter(None, (old, new))))
    return [sign, shown(each.path), content]


def _content(entry: "Entry | None") -> str:
    from ..cas.formats.tree import EntryType

    if entry is None:
        return ""
    if entry.type is EntryType.SYMLINK:
        return f"link to {shown(entry.target)}"
    return human_size(entry.size)


def _commit_parts(
    found: "ShownCommit", changed: "Iterator[Changed]"
) -> Iterator[tuple[str, object]]:
    commit = found.commit
    yield "commit", found.id.hex()
    yield "tree", commit.tree.hex()
    yield "parents", [parent.hex() for parent in commit.parents]
    yield "refs", list(found.refs)
    yield "author", commit.author
    yield "time", iso_time(commit.time_ns)
    yield "time_ns", commit.time_ns
    yield "message", commit.message
    yield "size", found.size
    yield "changes", map(_changed_document, changed)


def _changed_document(each: "Changed") -> dict[str, object]:
    sides = {"old": each.old, "new": each.new}
    return {
        "path": text_of(each.path),
        **{name: None if e is None else entry_document(e) for name, e in sides.items()},
    }


# A file


def _file(store: "Catalog", settings: Settings, found: "ShownEntry", manifest: "Manifest") -> None:
    named, entry = found.named, found.entry
    facts = {
        "commit": found.id.hex(),
        "manifest": entry.object.hex(),
        "size": entry.size,
        "mode": f"{entry.mode & 0o7777:04o}",
        "mtime": iso_time(entry.mtime_ns),
        "blake3": manifest.blake3.hex(),
        "sha256": None if manifest.sha256 is None else manifest.sha256.hex(),
        "cid": str(cid) if (cid := store.objects.cid(manifest.blake3)) else None,
        "chunks": manifest.chunk_count,
        "sources": list(manifest.sources),
    }
    tensors = store.tensors(named.address)
    if settings.json:
        parts = [*facts.items(), ("tensors", map(_tensor_document, tensors))]
        say_json_parts([("path", str(named.address)), *parts])
        return
    said = {**facts, "size": human_size(entry.size), "mtime": human_time(entry.mtime_ns)}
    rows = [[name, _value(value)] for name, value in said.items() if value not in (None, [])]
    say(columns([["file", one_line(str(named.address))], *rows], "<<"))
    _say_tensors(tensors, None if settings.verbose else TENSORS)


def _value(value: object) -> str:
    return one_line(", ".join(value) if isinstance(value, list) else str(value))


def _say_tensors(tensors: "Iterator[StoredTensor]", most: int | None) -> None:
    say_columns((_tensor_row(tensor) for tensor in islice(tensors, most)), "<<<>")
    if more := sum(1 for _ in tensors):
        say(f"… and {plural(more, 'more tensor')}; --verbose or --json lists them")


def _tensor_row(tensor: "StoredTensor") -> list[str]:
    shape = "×".join(map(str, tensor.shape)) or "scalar"
    return [f"  {one_line(tensor.name)}", tensor.type, shape, human_size(tensor.size)]


def _tensor_document(tensor: "StoredTensor") -> dict[str, object]:
    return {
        "name": tensor.name,
        "type": tensor.type,
        "shape": list(tensor.shape),
        "offset": tensor.offset,
        "bytes": tensor.size,
        "chunks": [tensor.chunks.start, tensor.chunks.stop],
    }


def _other(store: "Catalog", settings: Settings, found: "ShownEntry") -> None:
    """A folder, or a link."""
    named, entry = found.named, found.entry
    if settings.json:
        document = {"path": str(named.address), "commit": found.id.hex(), **entry_document(entry)}
        say_json_parts(document.items())
        return
    rows = [["folder" if named.directory else "link", one_line(str(named.address))]]
    rows.append(["commit", found.id.hex()])
    if named.directory is None:
        rows.append(["target", shown(entry.target)])
    else:
        inside = len(store.objects.directory(named.directory))
        rows += [["size", human_size(entry.size)], ["entries", f"{inside:,}"]]
    say(columns([*rows, ["mtime", human_time(entry.mtime_ns)]], "<<"))
