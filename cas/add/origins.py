"""Sources of the files of an add, kept in their manifests: where lost chunks may be had again."""

import os

from ..formats.manifest import decode_manifest, with_sources
from ..formats.sourceurls import HUB, LONGEST, MOST, TAG_SOURCES, encode_sources, source_below
from .request import AddRequest
from .scan import Item


def source_of(request: AddRequest, item: Item) -> str:
    """The URL of a file, "" where none is known: what was given for a folder is the folder's."""
    base = request.source_url
    if not base:
        return ""
    if os.path.isdir(request.sources[0]):
        base = source_below(base, item.path[len(request.address.path) :])
    return base if len(base.encode()) <= LONGEST else ""


def extensions_of(request: AddRequest, item: Item) -> dict[int, bytes]:
    """What goes into the manifest of a file that is read."""
    url = source_of(request, item)
    return {TAG_SOURCES: encode_sources([url])} if url else {}


def renewed(request: AddRequest, item: Item, manifest: bytes) -> bytes | None:
    """The manifest of a file that need not be read, with its source; None where it has that.

    Of a file that is the same in several commits of a hub one source will do.
    """
    url = source_of(request, item)
    known = decode_manifest(manifest).sources
    if not url or url in known:
        return None
    if url.startswith(HUB) and any(each.startswith(HUB) for each in known):
        return None
    return with_sources(manifest, [url, *known][:MOST])
