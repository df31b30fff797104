"""Where a MEGA backend lies, and who asks: its URL, and what the user's surroundings say of it.

`mega://FOLDER/IN/THE/DRIVE`, or `mega://` for all of it. `?endpoint=URL` names another API server,
of MEGA's own or on this machine.

Credentials never stand in a URL or in the configuration. Looked for, in this order:
`MODELFLOAT_<NAME>_USER` and `MODELFLOAT_<NAME>_PASSWORD`, of this backend alone (`credentials.py`);
`MODELFLOAT_MEGA_USER` and `MODELFLOAT_MEGA_PASSWORD`.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from blake3 import blake3

from ...errors import DeniedError, UsageError
from ...redaction import redact
from ..credentials import own_value

ENDPOINT: Final = "https://g.api.mega.co.nz"
_OWN: Final = (".mega.co.nz", ".mega.nz")
"""How the names of MEGA's own servers end."""
_LABEL: Final = 4
"""Bytes of the hash by which an account is called: markers of other backends name domains."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in; no text of it shows the password."""

    email: str
    password: str = field(repr=False)

    @property
    def label(self) -> str:
        """A name for the account that does not tell it."""
        return blake3(self.email.encode()).hexdigest(_LABEL)


@dataclass(frozen=True, slots=True)
class Address:
    """A folder in a drive: `folder` has the names down to it, none for the drive itself."""

    endpoint: str
    folder: tuple[str, ...]
    account: Account | None

    def known(self, name: str) -> Account:
        """The account; DeniedError where nobody is named."""
        if self.account is None:
            raise DeniedError(
                f"backend {name}: no account in MEGA is named; set MODELFLOAT_MEGA_USER and "
                "MODELFLOAT_MEGA_PASSWORD",
                backend=name,
            )
        return self.account


def address_of(name: str, url: str) -> Address:
    """The address in a `mega://` URL; UsageError where it cannot be one."""
    found = _parts(url)
    if found is None:
        raise UsageError(
            f"backend {name}: {redact(url)} is no folder in MEGA; write mega://FOLDER; the account "
            "is named by MODELFLOAT_MEGA_USER and MODELFLOAT_MEGA_PASSWORD, as a URL is stored "
            "and shown"
        )
    endpoint, folder = found
    return Address(endpoint, folder, _account(name))


def _parts(url: str) -> tuple[str, tuple[str, ...]] | None:
    """Endpoint and folder; None where the URL cannot be one of ours."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        endpoint = query.pop("endpoint", ENDPOINT).rstrip("/")
        where = urlsplit(endpoint)
        known = where.port != 0 and _may_know_us(where)
    except ValueError:
        return None
    if not known or query or "@" in url or parts.fragment:
        return None
    # A server's name would be lowered by `hostname`: what stands there is the first folder.
    path = f"{parts.netloc}{parts.path}".strip("/")
    folder = tuple(unquote(each) for each in path.split("/")) if path else ()
    if not all(each.isprintable() and each not in ("", ".", "..") for each in folder):
        return None
    return endpoint, folder


def _may_know_us(server: SplitResult) -> bool:
    """Whether a server may be told who we are. Others would get a proof of the password, and URLs
    are copied from markers on places that nobody trusts."""
    host = server.hostname or ""
    try:
        near = ip_address(host).is_loopback
    except ValueError:
        return server.scheme == "https" and host.endswith(_OWN)
    return near and server.scheme in ("http", "https")


def _account(name: str) -> Account | None:
    for each in (name, "mega"):
        user = own_value(each, "USER")
        if user is not None:
            return Account(user.lower(), own_value(each, "PASSWORD") or "")
    return None
