"""Questions to Google's token server: a refresh token, a code or a device's code for access tokens.

Sources: RFC 6749 (OAuth 2.0), RFC 7636 (PKCE), RFC 8628 (device flow; Google answers 428 and 403
while the user has not said yes), Google's "Using OAuth 2.0 to access Google APIs". A client's
secret is none for programs that users install, and is kept like one all the same.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from ...errors import UnavailableError
from ..http.client import HttpClient, TooLongError
from .address import Place
from .answers import no_login, stranger
from .grant import Grant

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
LARGEST: Final = 64 << 10
DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_NO_MORE: Final = frozenset(
    {"invalid_grant", "invalid_client", "unauthorized_client", "expired_token", "access_denied"}
)
USUAL_LIFE: Final = 3600.0
"""Seconds that a token lives where the answer does not say."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the token server said: the status, and the document."""

    status: int
    document: Mapping[str, Any]

    @property
    def error(self) -> str:
        """The error's name in RFC 6749, "" where there is none."""
        return str(self.document.get("error", ""))

    def text(self, name: str) -> str:
        """A text in the document, "" where it has none."""
        value = self.document.get(name, "")
        return value if isinstance(value, str) else ""

    def seconds(self, name: str, usual: float) -> float:
        """A time in the document."""
        value = self.document.get(name, usual)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if good and 0 < value < 1e7 else usual


async def refreshed(
    http: HttpClient, place: Place, grant: Grant, clock: Callable[[], float]
) -> Grant:
    """`grant` with a new access token; DeniedError where it was revoked or has ended."""
    began = clock()
    said = await post(
        http,
        place.token_url,
        {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh,
            "client_id": grant.client_id,
            "client_secret": grant.client_secret,
        },
    )
    return with_access(http.name, grant, said, began)


def with_access(backend: str, grant: Grant, said: Said, began: float) -> Grant:
    """`grant` with the tokens of an answer to a question that was asked when `began`."""
    if said.error in _NO_MORE:
        raise no_login(backend, f"Google refuses its login ({said.error})")
    access = said.text("access_token")
    if said.status != 200 or not access:
        if said.status >= 500 or said.status == 429:
            raise UnavailableError(
                f"backend {backend}: Google's token server answers with status {said.status}; it "
                "is asked again",
                backend=backend,
            )
        raise stranger(backend, "", "a token is asked for and none comes")
    return replace(
        grant,
        refresh=said.text("refresh_token") or grant.refresh,
        access=access,
        expires=began + said.seconds("expires_in", USUAL_LIFE),
    )


async def post(http: HttpClient, url: str, form: Mapping[str, str]) -> Said:
    """Ask, with a form; UnavailableError where what comes is no answer of a token server."""
    body = [urlencode(form).encode()]
    async with http.ask("POST", url, headers=FORM, parts=body) as answer:
        status = answer.status_code
        try:
            document = json.loads(await http.body(answer, LARGEST))
        except (ValueError, TooLongError, RecursionError):
            document = None
    if not isinstance(document, dict):
        if status >= 500 or status == 429:
            return Said(status, {})
        raise stranger(http.name, "", "a token is asked for and a page comes")
    return Said(status, document)
