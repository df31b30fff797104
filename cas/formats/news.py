"""What a site has recorded last, for others to follow it. `docs/format.md`, News."""

import struct
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...errors import FormatError
from ...ids import SiteId, StoreId, WriterId
from .flags import VERSION, check_readable

MAGIC: Final = b"MFLTNEWS"
DIGEST_SIZE: Final = 32
MOST_WRITERS: Final = 256
"""Writers of a site that are told of; who missed one that is not has to list the journal."""

_HEAD: Final = struct.Struct("<8sHxxIII16s16sI")
_WRITER: Final = struct.Struct("<16sQ")
LONGEST: Final = _HEAD.size + MOST_WRITERS * _WRITER.size + DIGEST_SIZE
"""Bytes of the longest record."""


@dataclass(frozen=True, slots=True)
class News:
    """The number of the last record of each of a site's writers; MOST_WRITERS at most."""

    store: StoreId
    site: SiteId
    last: dict[WriterId, int]


def encode_news(news: News) -> bytes:
    """The record's bytes, its BLAKE3 last."""
    head = _HEAD.pack(MAGIC, VERSION, 0, 0, 0, news.store, news.site, len(news.last))
    body = head + b"".join(_WRITER.pack(writer, last) for writer, last in news.last.items())
    return body + blake3(body).digest()


def decode_news(data: bytes, what: str) -> News:
    """A record from its bytes; FormatError, naming `what`, when it is damaged or newer."""
    if len(data) < _HEAD.size + DIGEST_SIZE or data[: len(MAGIC)] != MAGIC:
        raise FormatError(f"{what} is no record of what a site has done")
    _, version, _, _, incompat, store, site, count = _HEAD.unpack_from(data)
    check_readable(what, version, incompat)
    body, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    whole = count <= MOST_WRITERS and len(body) == _HEAD.size + count * _WRITER.size
    if blake3(body).digest() != digest or not whole:
        raise FormatError(f"{what} is damaged")
    last = {WriterId(writer): seq for writer, seq in _WRITER.iter_unpack(body[_HEAD.size :])}
    return News(StoreId(store), SiteId(site), last)
