"""Where an IPFS backend lies, and who asks: its URL, and what the user's surroundings say of it.

Credentials never stand in a URL or in the configuration. Looked for, in this order:
`MODELFLOAT_<NAME>_TOKEN` of this backend alone, sent by HTTP's Bearer scheme;
`MODELFLOAT_<NAME>_USER` and `MODELFLOAT_<NAME>_PASSWORD`, by its Basic scheme; the same three with
IPFS for the name, for all of them. Kubo wants one where its `API.Authorizations` says so.
"""

import base64
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from ...cid import Cid, parse_cid
from ...errors import UsageError
from ...redaction import redact
from ..credentials import checked, own_value
from ..http.hosts import is_host

NODES: Final = {"ipfs": "http", "ipfs+https": "https"}
"""Schemes of nodes that are asked by their RPC."""
GATEWAYS: Final = {"ipfs+gateway": "https", "ipfs+gateway+http": "http"}
"""Schemes of gateways."""
FOLDER: Final = "/modelfloat"
"""Where a backend lies whose URL names no folder."""
_NODE_PORT: Final = 5001
"""Kubo's own."""
_LETTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and the header for it and no other; `path` is a folder in the node's MFS."""

    base: str
    host: str
    path: str
    authorization: str | None = field(default=None, repr=False)


def node_address(name: str, url: str) -> Address:
    """The node and folder in an `ipfs://` URL; UsageError where it cannot be one."""
    parts = _split(name, url, "ipfs://HOST:5001/FOLDER")
    path = unquote(parts.path).rstrip("/")
    names = path.split("/")[1:]
    if any(each in ("", ".", "..") for each in names) or not path.isprintable():
        raise UsageError(
            f"backend {name}: {redact(url)} has a path that no folder has; write it without '.', "
            "'..' and empty names"
        )
    if names[:1] == ["ipfs"] or names[:1] == ["ipns"] or len(path) > _LETTERS:
        raise UsageError(
            f"backend {name}: {redact(url)} names no folder that can be written; name one of the "
            "node's MFS, as ipfs://HOST:5001/models"
        )
    base, host = _base(parts, NODES[parts.scheme.lower()], _NODE_PORT)
    return Address(base, host, path or FOLDER, _authorization(name))


def gateway_address(name: str, url: str) -> tuple[Address, Cid]:
    """The gateway and the root in an `ipfs+gateway://` URL; UsageError where it cannot be one."""
    parts = _split(name, url, "ipfs+gateway://HOST/CID")
    try:
        root = parse_cid(parts.path.strip("/").removeprefix("ipfs/"))
    except ValueError as error:
        raise UsageError(
            f"backend {name}: {redact(url)} names no root ({error}); write the CID that `ipfs "
            "files stat --hash --cid-base=base32 /FOLDER` prints, as ipfs+gateway://HOST/CID"
        ) from None
    scheme = GATEWAYS[parts.scheme.lower()]
    base, host = _base(parts, scheme, 443 if scheme == "https" else 80)
    return Address(base, host, ""), root


def _base(parts: SplitResult, scheme: str, port: int) -> tuple[str, str]:
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{parts.port or port}", host


def _split(name: str, url: str, example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        ours = is_host(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote user information
        ours = False
    if not ours:
        raise UsageError(f"backend {name}: {redact(url)} names no node; write {example}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"backend {name}: a URL is stored and shown, so one of IPFS holds no credentials and "
            f"no query: write {example}, and set MODELFLOAT_IPFS_TOKEN, or MODELFLOAT_IPFS_USER "
            "and MODELFLOAT_IPFS_PASSWORD"
        )
    return parts


def _authorization(name: str) -> str | None:
    """The header by HTTP's Bearer (RFC 6750) or Basic scheme (RFC 7617)."""
    for who in (name, "ipfs"):
        token, user = own_value(who, "TOKEN"), own_value(who, "USER")
        if token is not None:
            return f"Bearer {checked(name, token)}"
        if user is not None:
            known = f"{user}:{own_value(who, 'PASSWORD') or ''}"
            return "Basic " + base64.b64encode(known.encode()).decode()
    return None
