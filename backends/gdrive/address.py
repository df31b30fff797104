"""Where a Google Drive backend lies: `gdrive://FOLDER-ID[?drive=SHARED-DRIVE-ID][&endpoint=URL]`.

A URL says where, never who: it lands in the configuration, in markers and on screens. `endpoint`
names another server that speaks Drive's protocol, as a test's does; it gets our tokens, so it can
only be on this machine. Source: Google's "Drive API v3" reference and "OAuth 2.0 for mobile
and desktop apps", for the addresses.
"""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ...errors import UsageError

GOOGLE: Final = "https://www.googleapis.com"
_TOKENS: Final = "https://oauth2.googleapis.com"
_CONSENT: Final = "https://accounts.google.com"
PARAMETERS: Final = frozenset({"drive", "endpoint"})
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in somebody's Drive, or in the shared drive `drive` where that is not "".

    `folder` is "" where none is known yet, as before one is made at login.
    """

    folder: str
    drive: str = ""
    endpoint: str = GOOGLE

    @property
    def host(self) -> str:
        """The server, with its port where it has one."""
        return urlsplit(self.endpoint).netloc

    @property
    def token_url(self) -> str:
        """Where refresh tokens and codes become access tokens."""
        return f"{self._or(_TOKENS)}/token"

    @property
    def consent_url(self) -> str:
        """The page on which a user says yes."""
        return f"{self._or(_CONSENT)}/o/oauth2/v2/auth"

    @property
    def device_url(self) -> str:
        """Where a machine without a browser gets a code for its user."""
        return f"{self._or(_TOKENS)}/device/code"

    @property
    def url(self) -> str:
        """The backend's URL."""
        given = {"drive": self.drive, "endpoint": self._or("")}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"gdrive://{self.folder}" + (f"?{query}" if query else "")

    @property
    def label(self) -> str:
        """Names files in which things are remembered of this place: 16 hex digits."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def _or(self, usual: str) -> str:
        return usual if self.endpoint == GOOGLE else self.endpoint


def parse_place(backend: str, url: str, *, whole: bool = True) -> Place:
    """Take a URL apart; UsageError says what is wrong with it, without quoting what may be secret.

    Unless `whole` its folder may be missing.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(backend, "is none") from None
    given = _parameters(backend, parts)
    folder = parts.netloc
    if "@" in folder or ":" in folder:
        raise _secret(backend)
    if parts.path.strip("/") or parts.fragment:
        raise _wrong(backend, "has more than a folder's id")
    if (whole or folder) and _ID.fullmatch(folder) is None:
        raise _wrong(
            backend, "names no folder by its id, the last part of its address in a browser"
        )
    return Place(folder, given.get("drive", ""), given.get("endpoint", GOOGLE))


def _parameters(backend: str, parts: SplitResult) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in PARAMETERS:
            raise _secret(backend)
        if name in given or not value:
            raise _wrong(backend, f"has {name}= twice, or with nothing behind it")
        given[name] = value
    if "drive" in given and _ID.fullmatch(given["drive"]) is None:
        raise _wrong(backend, "has a drive that cannot be")
    if "endpoint" in given:
        given["endpoint"] = _endpoint(backend, given["endpoint"])
    return given


def _endpoint(backend: str, text: str) -> str:
    """`http://ADDRESS[:port]` of this machine. Others would get our tokens, and URLs are copied
    from markers on places that nobody trusts."""
    if "@" in text:
        raise _secret(backend)
    try:
        parts = urlsplit(text)
        near = ip_address(parts.hostname or "").is_loopback and parts.port != 0
    except ValueError:
        near = False
    if not near or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise _wrong(backend, "has an endpoint that is not on this machine")
    return f"{parts.scheme}://{parts.netloc}"


def _wrong(backend: str, problem: str) -> UsageError:
    return UsageError(f"backend {backend}: its URL {problem}; docs/backends.md shows how they look")


def _secret(backend: str) -> UsageError:
    return UsageError(
        f"backend {backend}: its URL may hold a folder's id and drive=, and nothing of who asks; "
        "log in with `modelfloat backend login`"
    )
