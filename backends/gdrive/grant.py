"""What a user granted us: a refresh token, with the client that it was granted to.

Looked for, in this order: `MODELFLOAT_<NAME>_CLIENT_ID`, `…_CLIENT_SECRET` and `…_REFRESH_TOKEN` of
this backend alone; the same of `GDRIVE` for all of them; the file that `modelfloat backend login`
wrote, in the store's folder `accounts/`, of mode 0600. None of it is ever logged or shown.

The file also keeps the latest access token, so that not every command asks for one. Who writes it
replaces it as a whole; of two processes that refresh at once either token is good.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ...errors import DeniedError
from ..credentials import own_value
from ..private import write_file
from .address import Place

ALL: Final = "gdrive"
"""Stands for a backend's name in the variables of all backends on Google Drive."""
VERSION: Final = 1
LARGEST: Final = 64 << 10
"""Bytes of such a file."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A refresh token and its client; `account` is Google's number of who granted it, "" unknown.

    `access` is an access token until `expires`, in seconds since the epoch by our clock.
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh: str = field(repr=False)
    account: str = ""
    access: str = field(default="", repr=False)
    expires: float = 0.0

    @property
    def whose(self) -> str:
        """Names the account, by a digest of the login where Google's number is not known."""
        return self.account or hashlib.sha256(self.refresh.encode()).hexdigest()[:16]


def grant_path(state: str, place: Place) -> str:
    """The file of a place below the folder `state`."""
    return os.path.join(state, f"gdrive-{place.label}.json")


def find_grant(
    backend: str,
    place: Place,
    state: str | None,
    environment: Mapping[str, str] = os.environ,
) -> Grant | None:
    """What was granted, None where nobody logged in; DeniedError where a file cannot be read."""
    for name in (backend, ALL):
        found = _from_environment(name, environment)
        if found is not None:
            return found
    return None if state is None else _from_file(backend, grant_path(state, place))


def grant_if_any(backend: str, place: Place, state: str | None) -> Grant | None:
    """What was granted, None also where that cannot be read."""
    try:
        return find_grant(backend, place, state)
    except DeniedError:
        return None


def is_from_environment(backend: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment grants it, so that nothing is written down."""
    return any(_from_environment(name, environment) is not None for name in (backend, ALL))


def write_grant(state: str, place: Place, grant: Grant) -> None:
    """Write the file of a place, for its owner alone; OSError where that fails."""
    document = {"version": VERSION, **asdict(grant)}
    write_file(grant_path(state, place), f"{json.dumps(document, indent=1)}\n".encode())


def rewrite_grant(backend: str, state: str, place: Place, before: Grant, after: Grant) -> None:
    """Write `after` where `before` stands: where somebody logged in anew since, or took the login
    away, that counts. OSError and DeniedError where the file cannot be written or read."""
    found = _from_file(backend, grant_path(state, place))
    if found is not None and found.refresh == before.refresh:
        write_grant(state, place, after)


def _from_environment(name: str, environment: Mapping[str, str]) -> Grant | None:
    refresh = own_value(name, "REFRESH_TOKEN", environment)
    client = own_value(name, "CLIENT_ID", environment)
    if refresh is None or client is None:
        return None
    return Grant(client, own_value(name, "CLIENT_SECRET", environment) or "", refresh)


def _from_file(backend: str, path: str) -> Grant | None:
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(LARGEST))
        return _decode(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        # Its text may quote the file.
        raise DeniedError(
            f"backend {backend}: its login in {path} cannot be read ({type(error).__name__}); "
            "change its mode, or log in again with `modelfloat backend login`",
            backend=backend,
        ) from None


def _decode(document: Any) -> Grant:
    texts = ("client_id", "client_secret", "refresh", "account", "access")
    if document["version"] != VERSION or not all(isinstance(document[t], str) for t in texts):
        raise ValueError("no login")
    client, secret, refresh, account, access = (str(document[text]) for text in texts)
    return Grant(client, secret, refresh, account, access, float(document["expires"]))
