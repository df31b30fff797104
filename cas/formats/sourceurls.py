"""Where a file came from, in its manifest: `docs/format.md`, Manifest, tag 3.

A source is a URL whose bytes are the file's, at the same offsets: `https://…`, or
`hf://models/ORG/NAME@COMMIT/PATH`, a file of a model on the Hugging Face hub.
"""

import re
import struct
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote_from_bytes, urlsplit

from ...errors import UsageError

TAG_SOURCES: Final = 3
MOST: Final = 8
LONGEST: Final = 4096
"""Bytes of one URL."""
HUB: Final = "hf://"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_LENGTH: Final = struct.Struct("<H")
_SECRET: Final = re.compile(
    r"(?i)(token|secret|password|signature|credential|api_?key|(?:^|&)sig=)"
)
_HUB: Final = re.compile(r"hf://models/[^/@?#\s]+(/[^/@?#\s]+)?@[0-9a-f]{40}(/[^?#\s]*)?")


def encode_sources(urls: Sequence[str]) -> bytes:
    """The value of tag 3."""
    parts = [url.encode() for url in urls]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def decode_sources(data: bytes) -> tuple[str, ...]:
    """The URLs of a value of tag 3; none where it is no such: it is a help, and no more."""
    found: list[str] = []
    at = 0
    while at < len(data) and len(found) < MOST:
        if at + _LENGTH.size > len(data):
            return ()
        (length,) = _LENGTH.unpack_from(data, at)
        part = data[at + _LENGTH.size : at + _LENGTH.size + length]
        at += _LENGTH.size + length
        if len(part) < length or length > LONGEST:
            return ()
        try:
            found.append(part.decode())
        except UnicodeDecodeError:
            return ()
    return tuple(found)


def check_source(url: str) -> str:
    """`url` if it may be a source, which every reader of the store can see; else UsageError."""
    if len(url.encode("utf-8", "replace")) > LONGEST or re.search(r"[\s\x00-\x1f]", url):
        raise UsageError("--source is no URL: it has spaces, or more than 4096 bytes")
    if url.startswith(HUB):
        if _HUB.fullmatch(url) is None:
            raise UsageError(
                "--source is no file of a hub's commit: behind hf:// comes "
                "models/ORG/NAME@COMMIT/PATH, with all 40 digits of the commit"
            )
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.username is not None or parts.password is not None or _SECRET.search(parts.query):
        raise UsageError(
            "--source has credentials in it, and everybody who reads the store would see them; "
            "leave them out"
        )
    if not host or not is_safe(parts.scheme, host):
        raise UsageError(
            f"--source {url} cannot be relied on: write https://… or hf://models/… (http:// is for "
            "this machine only)"
        )
    return url


def is_safe(scheme: str, host: str) -> bool:
    """Whether bytes may be asked for there: over TLS, or of this machine."""
    return scheme == "https" or (scheme == "http" and host in LOOPBACK)


def source_below(base: str, path: Sequence[bytes]) -> str:
    """The source of a file that lies at `path` below the folder that `base` is a URL of."""
    return f"{base.rstrip('/')}/{'/'.join(quote_from_bytes(part) for part in path)}"
