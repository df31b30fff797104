"""Whether the address of a backend that a marker tells may be used here without being asked for.

Whoever has one backend could write a marker by which our credentials go to a server of his. So a
place counts that is on this machine, at a provider that the scheme stands for, or on a server that
is used already; neither a path that begins in another folder, nor a URL that held a secret.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from ..ids import BackendId
from .marker import Marker, MarkerBackend
from .registry import is_local_path

PROVIDERS: Final = frozenset({"az", "file", "gdrive", "gs", "mega", "memory", "s3"})
"""Schemes whose URLs name no server, unless they have an `endpoint`."""
HIDDEN: Final = "…"
"""What stands in a URL in the place of a secret: see `redaction`."""


def told_url(entry: MarkerBackend, servers: Iterable[str], base: str | None) -> str | None:
    """Where a backend is that a marker tells of; None where that must be asked for.

    `servers` are those in use, `base` is the folder that relative paths begin in, where that is
    known; a path comes back absolute.
    """
    if HIDDEN in entry.url or server_of(entry.url) not in {"", *servers}:
        return None
    if not is_local_path(entry.url) or os.path.isabs(entry.url):
        return entry.url
    return None if base is None else os.path.join(base, entry.url)


def base_of(markers: Mapping[BackendId, Marker], where: Mapping[BackendId, str]) -> str | None:
    """The folder that relative paths in the markers begin in, as far as the absolute paths in
    `where` tell it."""
    for id_, marker in markers.items():
        own = next((entry.url for entry in marker.backends if entry.id == id_), "")
        if own and is_local_path(own) and not os.path.isabs(own):
            url = where.get(id_, "")
            if url.endswith(f"/{own}"):
                return url.removesuffix(own)
    return None


def server_of(url: str) -> str:
    """The server that a URL has us speak with; "" where that is this machine, or the provider that
    its scheme stands for."""
    if is_local_path(url):
        return ""
    parts = urlsplit(url)
    if parts.scheme in PROVIDERS:
        endpoint = parse_qs(parts.query).get("endpoint", [""])[0]
        if not endpoint:
            return ""
        # An endpoint has no endpoint of its own: what looks like one is not where anybody goes.
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
