"""Ranges of files by HTTP, from where they came: for what a store has lost.

Nobody is trusted: only TLS, or this machine; a range must be answered as one (206, with the range
that was asked for, as it is), for a page of some portal is no part of a model. Redirects are
followed, to no place that a URL may not name, and from elsewhere never to this machine. The token
for the hub goes to the hub alone. What comes is bounded in size and in time.

Concurrency: a connection a call; nothing is shared but the settings of TLS.
"""

import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import trio

from ..cas.formats.sourceurls import HUB, LOOPBACK, is_safe
from ..cas.read.seldom import Seldom
from ..redaction import redact
from ..version import __version__

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

ENDPOINT: Final = "https://huggingface.co"
REDIRECTS: Final = 5
PATIENCE: Final = 60.0
"""Seconds for a range, redirects and all."""
SILENCE: Final = 20.0
"""Seconds without a byte after which a connection counts as dead."""

_TOKEN: Final = re.compile("[!-~]+")

log = logging.getLogger(__name__)
for _name in ("httpx2", "httpcore2"):  # they tell each request, signed URLs and all
    logging.getLogger(_name).setLevel(logging.WARNING)


class _RefusedError(Exception):
    """An answer that is not the range that was asked for."""


@dataclass(frozen=True, slots=True)
class HttpSource:
    """Gets ranges. `endpoint` is the hub's address, `token` finds the user's token for it."""

    endpoint: str = ""
    token: Callable[[], str] = str
    told: Seldom = field(default_factory=lambda: Seldom(log), compare=False, repr=False)

    async def fetch(self, url: str, offset: int, size: int) -> bytes | None:
        """See `FetchRange`."""
        try:
            import httpx2
        except ImportError:
            log.warning("%s cannot be asked: install modelfloat[sources]", redact(url))
            return None
        try:
            with trio.fail_after(PATIENCE):
                return await self._fetch(url, offset, size)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            reason = str(error) or type(error).__name__
        except (_RefusedError, OSError, ValueError) as error:
            reason = str(error)
        except trio.TooSlowError:
            reason = f"no answer in {PATIENCE:.0f} s"
        self.told.warn(f"the source {_plain(url)} cannot be read: {_plain(reason)}")
        return None

    async def _fetch(self, url: str, offset: int, size: int) -> bytes:
        from httpx2 import AsyncClient

        at, token = url, ""
        if url.startswith(HUB):
            at, token = self._on_hub(url), self._token()
        home = _origin(at)
        async with AsyncClient(verify=_tls(), timeout=SILENCE, follow_redirects=False) as client:
            for _ in range(REDIRECTS + 1):
                _check(at, remote=home[1] not in LOOPBACK)
                headers = {
                    "Range": f"bytes={offset}-{offset + size - 1}",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"modelfloat/{__version__}",
                }
                if token and _origin(at) == home:
                    headers["Authorization"] = f"Bearer {token}"
                found = await _ask(client, at, headers, offset, size)
                if isinstance(found, bytes):
                    return found
                at = urljoin(at, found)
        raise _RefusedError(f"it leads elsewhere more than {REDIRECTS} times")

    def _token(self) -> str:
        """The token, "" where no header can hold it: the error of that would quote it."""
        token = self.token()
        if token and _TOKEN.fullmatch(token) is None:
            log.warning("the token for the hub has characters that no token has: it is not sent")
            return ""
        return token

    def _on_hub(self, url: str) -> str:
        """The URL of `hf://models/ORG/NAME@COMMIT/PATH`."""
        name, _, rest = url.removeprefix(f"{HUB}models/").partition("@")
        commit, _, path = rest.partition("/")
        return f"{(self.endpoint or ENDPOINT).rstrip('/')}/{name}/resolve/{commit}/{path}"


async def _ask(
    client: "AsyncClient", url: str, headers: dict[str, str], offset: int, size: int
) -> bytes | str:
    """The range, or where a redirect leads."""
    async with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code in (301, 302, 303, 307, 308):
            return str(answer.headers.get("location", ""))
        _check_answer(answer, offset, size)
        parts, got = [], 0
        with trio.CancelScope() as scope:
            async for part in answer.aiter_raw():
                parts.append(part)
                got += len(part)
                if got > size:
                    # So its generators are left from the inside out, and the connection closed.
                    scope.cancel()
        if got != size:
            raise _RefusedError(f"{got} bytes came, {size} were asked for")
        return b"".join(parts)


def _check_answer(answer: "Response", offset: int, size: int) -> None:
    if answer.status_code == 200:
        raise _RefusedError("its server does not answer ranges")
    if answer.status_code != 206:
        raise _RefusedError(f"status {answer.status_code}")
    said = answer.headers.get("content-range", "").lower()
    if not said.startswith(f"bytes {offset}-{offset + size - 1}/"):
        raise _RefusedError("the answer is of another range")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise _RefusedError("the answer is encoded")


def _check(url: str, *, remote: bool) -> None:
    """_RefusedError where bytes must not be asked for.

    `remote` says that another host sends us there, which must not be to this machine.
    """
    scheme, host, _ = _origin(url)
    if not is_safe(scheme, host) or (remote and host in LOOPBACK):
        raise _RefusedError("it leads to where nothing is asked for")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _plain(url: str) -> str:
    """For the log: without what may be a secret in it."""
    return redact(url).partition("?")[0]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
