"""Google's OAuth, as far as installed programs and devices use it: consent, codes, tokens.

Consent is given at once where `consents` says so; a device's when somebody calls `approve`, or has
been asked `patience` times. Codes are good once, for the client, address and verifier (RFC 7636)
that they were made for.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from modelfloat.tests.servers.gdrive.documents import as_json
from modelfloat.tests.servers.httpd import Answer, Request

DRIVE = "https://www.googleapis.com/auth/drive"
FILES = f"{DRIVE}.file"
LIFE = 3599
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class Client:
    """A program that was registered with Google."""

    id: str = "1234-fake.apps.example.org"
    secret: str = "GOCSPX-fake-client-secret-that-no-output-may-hold"


@dataclass
class Asked:
    """A code that waits to be changed into tokens."""

    scope: str
    redirect: str = ""
    challenge: str = ""
    approved: bool | None = True


@dataclass
class OAuth:
    """Tokens that are good: refresh token → scope, access token → scope."""

    client: Client = field(default_factory=Client)
    consents: bool = True
    interval: float = 5.0
    patience: int | None = None
    refresh: dict[str, str] = field(default_factory=dict)
    access: dict[str, str] = field(default_factory=dict)
    codes: dict[str, Asked] = field(default_factory=dict)
    devices: dict[str, Asked] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def grant(self, scope: str = FILES) -> str:
        """A refresh token, as a login gets it."""
        token = f"1//fake-refresh-{secrets.token_hex(16)}"
        self.refresh[token] = scope
        return token

    def expire(self) -> None:
        """All access tokens are too old."""
        self.access.clear()

    def revoke(self) -> None:
        """The user takes everything back."""
        self.access.clear()
        self.refresh.clear()

    def approve(self, user_code: str, *, yes: bool = True) -> None:
        """Somebody types a device's code, and says yes or no."""
        self.devices[self.users[user_code]].approved = yes

    def consent(self, request: Request) -> Answer:
        """The page that asks a user, who answers at once."""
        query = request.query
        where = urlsplit(query.get("redirect_uri", ""))
        good = (
            query.get("client_id") == self.client.id
            and query.get("response_type") == "code"
            and query.get("code_challenge_method") == "S256"
            and len(query.get("code_challenge", "")) == 43
            and where.scheme == "http"
            and where.hostname in ("127.0.0.1", "::1")
            and query.get("scope") in (DRIVE, FILES)
        )
        if not good:
            return Answer(400, b"Error 400: invalid_request")
        said = {"state": query.get("state", "")}
        if self.consents:
            code = f"4/0A{secrets.token_urlsafe(32)}"
            challenge = query["code_challenge"]
            self.codes[code] = Asked(query["scope"], query["redirect_uri"], challenge)
            said |= {"code": code, "scope": query["scope"]}
        else:
            said["error"] = "access_denied"
        return Answer(302, b"", {"Location": f"{query['redirect_uri']}?{urlencode(said)}"})

    async def device(self, request: Request) -> Answer:
        """A device asks for a code."""
        form = await _form(request)
        if form.get("client_id") != self.client.id:
            return _error(401, "invalid_client")
        if form.get("scope") != FILES:  # devices may ask for little
            return _error(400, "invalid_scope")
        device, user = secrets.token_urlsafe(48), secrets.token_hex(4).upper()
        self.devices[device] = Asked(FILES, approved=None)
        self.users[user] = device
        return as_json(
            {
                "device_code": device,
                "user_code": user,
                "verification_url": "https://www.google.com/device",
                "expires_in": 1800,
                "interval": self.interval,
            }
        )

    async def token(self, request: Request) -> Answer:
        """Somebody asks for an access token."""
        form = await _form(request)
        if (form.get("client_id"), form.get("client_secret")) != (
            self.client.id,
            self.client.secret,
        ):
            return _error(401, "invalid_client")
        kind = form.get("grant_type")
        if kind == "refresh_token":
            scope = self.refresh.get(form.get("refresh_token", ""))
            return _error(400, "invalid_grant") if scope is None else self._tokens(scope)
        if kind == "authorization_code":
            return self._for_code(form)
        if kind == DEVICE:
            return self._for_device(form)
        return _error(400, "unsupported_grant_type")

    def _for_code(self, form: Mapping[str, str]) -> Answer:
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or (asked.redirect, asked.challenge) != (
            form.get("redirect_uri"),
            challenge,
        ):
            return _error(400, "invalid_grant")
        return self._tokens(asked.scope, self.grant(asked.scope))

    def _for_device(self, form: Mapping[str, str]) -> Answer:
        asked = self.devices.get(form.get("device_code", ""))
        if asked is None:
            return _error(400, "invalid_grant")
        if asked.approved is None and self.patience is not None:
            self.patience -= 1
            asked.approved = True if self.patience < 0 else None
        if asked.approved is None:
            return _error(428, "authorization_pending")
        del self.devices[form["device_code"]]
        if not asked.approved:
            return _error(403, "access_denied")
        return self._tokens(asked.scope, self.grant(asked.scope))

    def _tokens(self, scope: str, refresh: str = "") -> Answer:
        token = f"ya29.fake-access-{secrets.token_hex(24)}"
        self.access[token] = scope
        document = {"access_token": token, "expires_in": LIFE, "scope": scope}
        document |= {"token_type": "Bearer"} | ({"refresh_token": refresh} if refresh else {})
        return as_json(document)


def _error(status: int, name: str) -> Answer:
    return Answer(
        status, json.dumps({"error": name}).encode(), {"Content-Type": "application/json"}
    )


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))
