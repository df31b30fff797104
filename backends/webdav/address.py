"""Where a WebDAV backend lies, and who asks: its URL, and what the user's surroundings say of it.

Credentials never stand in a URL or in the configuration. Looked for, in this order:
`MODELFLOAT_<NAME>_USER` and `MODELFLOAT_<NAME>_PASSWORD`, of this backend alone (`credentials.py`);
`MODELFLOAT_WEBDAV_USER` and `MODELFLOAT_WEBDAV_PASSWORD`; the host's entry in the file that `NETRC`
names, else in `~/.netrc`.
"""

import base64
import logging
import netrc
import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ...errors import UsageError
from ...redaction import redact
from ..credentials import own_value
from ..http.hosts import is_host

SCHEMES: Final = {"webdav": "http", "webdavs": "https"}
_PORTS: Final = {"http": 80, "https": 443}
_SAFE: Final = "/:@!$&'()*+,;=~"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """A folder on a WebDAV server: `path` is plain text, without a slash at its end ("" the root).

    `authorization` is the header for this server and no other; None where nobody is known.
    """

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are for (RFC 6454)."""
        return self.scheme, self.host, self.port

    def url(self, path: str) -> str:
        """The URL of a path on this server, which begins with a slash or is empty."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{quote(path, safe=_SAFE) or '/'}"


def address_of(name: str, url: str) -> Address:
    """The address in a `webdav://` or `webdavs://` URL; UsageError where it cannot be one."""
    parts = _split(name, url)
    scheme, host = SCHEMES[parts.scheme.lower()], (parts.hostname or "").lower()
    path = unquote(parts.path).rstrip("/")
    if any(each in ("", ".", "..") for each in path.split("/")[1:]) or not path.isprintable():
        raise UsageError(
            f"backend {name}: {redact(url)} has a path that no folder has; write it without '.', "
            "'..' and empty names"
        )
    port = parts.port or _PORTS[scheme]
    return Address(scheme, host, port, path, _authorization(name, host))


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        ours = is_host(parts.hostname) and parts.port != 0
    except ValueError:  # its text may quote user information
        ours = False
    if not ours:
        raise UsageError(
            f"backend {name}: {redact(url)} names no server; write webdavs://HOST/PATH"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"backend {name}: its URL is stored and shown, so it may hold no user, password, query "
            "or fragment; set MODELFLOAT_WEBDAV_USER and MODELFLOAT_WEBDAV_PASSWORD instead"
        )
    return parts


def _authorization(name: str, host: str) -> str | None:
    """The header for HTTP's Basic scheme (RFC 7617), in UTF-8."""
    found = _from_environment(name) or _from_environment("webdav") or _from_netrc(host)
    if found is None:
        return None
    return "Basic " + base64.b64encode(":".join(found).encode()).decode()


def _from_environment(name: str) -> tuple[str, str] | None:
    user = own_value(name, "USER")
    return None if user is None else (user, own_value(name, "PASSWORD") or "")


def _from_netrc(host: str) -> tuple[str, str] | None:
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        found = netrc.netrc(path).authenticators(host)
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        # Its text may quote a line of the file.
        log.warning("%s cannot be read (%s) and is passed over", path, type(error).__name__)
        return None
    return None if found is None else (found[0] or "", found[2] or "")
