"""What is in an open store, or at an address in it, as plain values."""

import os
from dataclasses import dataclass

from .cas.addressed import look_up, shown_head
from .cas.catalog import Catalog
from .cas.refnames import parse_address
from .cas.treesize import size_of


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing: a repository, a file, a directory or a link. `size` is bytes."""

    name: str
    type: str
    size: int
    mtime_ns: int


def contents_of(catalog: Catalog, text: str) -> list[Listed]:
    """The repositories where `text` is empty, else what is at that address."""
    if not text:
        return [_repository(catalog, repo) for repo in map(str, catalog.refs.repositories())]
    found = look_up(catalog.objects, catalog.refs, parse_address(text))
    if found.entry is not None and found.directory is None:
        entries = [found.entry]
    else:
        entries = list(catalog.objects.directory(found.directory or found.root).entries())
    return [Listed(os.fsdecode(e.name), e.type.name.lower(), e.size, e.mtime_ns) for e in entries]


def _repository(catalog: Catalog, name: str) -> Listed:
    repo = parse_address(name).repo
    heads = catalog.refs.heads(repo)
    tree = catalog.objects.commit(shown_head(heads).commit).tree
    updated = max(head.time_ns for head in heads)
    return Listed(name, "repository", size_of(catalog.objects, tree), updated)
