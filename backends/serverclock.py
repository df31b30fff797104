"""The clock of an HTTP server, from the `Date` of its answers (RFC 9110, 6.6.1).

Ages of objects are judged by the clock that dated them, never by ours. Any answer has a date, a
refusal too, so the question carries no credentials. Dates count whole seconds: what comes out is
late by up to one second, and an age by it is rather too small.

Blocks: it runs in worker threads. Shared between them is one pair, read and assigned as a whole.
"""

import time
import urllib.error
import urllib.request
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO, Final

FRESH: Final = 300.0
"""Seconds after which the server is asked anew: quartz drifts a second in hours."""
PATIENCE: Final = 10.0
"""Seconds that an answer may take."""


class ServerClock:
    """The clock of the server at `url`, which is http or https."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: tuple[float, float] | None = None

    def now(self) -> float:
        """Its time, in seconds since the epoch; OSError where it does not answer or tell a time."""
        known = self._known
        at = time.monotonic()
        if known is None or at - known[1] > FRESH:
            known = self._known = self._ask()
        return known[0] + time.monotonic() - known[1]

    def _ask(self) -> tuple[float, float]:
        """Its time and ours of one moment."""
        request = urllib.request.Request(self._url, method="HEAD")  # noqa: S310 - checked: http(s)
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                headers = answer.headers
        except urllib.error.HTTPError as refusal:
            with refusal:
                headers = refusal.headers
        try:
            date = parsedate_to_datetime(headers["Date"])
        except (TypeError, ValueError):
            raise OSError("it tells no time") from None
        return date.timestamp(), time.monotonic()


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: another server's clock says nothing."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None
