"""Who we are to an object store: keys from the environment or the provider's own places.

Nothing here is ever written down. A pool has backends of several providers, so the environment may
hold keys for one backend alone: `MODELFLOAT_<NAME>_…`, the name in capitals, with `_` for each
character that is no letter or digit.

For `s3://`, the first of: `MODELFLOAT_<NAME>_ACCESS_KEY_ID` with `…_SECRET_ACCESS_KEY` (and
`…_SESSION_TOKEN`); the profile that the URL names, in `~/.aws/credentials`; `AWS_ACCESS_KEY_ID`
with `AWS_SECRET_ACCESS_KEY` (and `AWS_SESSION_TOKEN`); a web identity or a container's role; the
profile `$AWS_PROFILE`, or `default`; and on Amazon's own endpoints the role of the machine.
For WebDAV and MEGA `MODELFLOAT_<NAME>_USER` with `…_PASSWORD` (their addresses have the rest).
Source: "AWS SDKs and Tools Reference Guide", standardized credential providers and shared files.
"""

import configparser
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..errors import DeniedError
from .objects.place import Place

OWN: Final = "MODELFLOAT"
FOR_ALL: Final = frozenset(
    {f"MODELFLOAT_{kind}_{what}" for kind in ("WEBDAV", "MEGA") for what in ("USER", "PASSWORD")}
    | {f"MODELFLOAT_GDRIVE_{what}" for what in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}
    | {f"MODELFLOAT_IPFS_{what}" for what in ("TOKEN", "USER", "PASSWORD")}
)
"""Variables of ours that hold credentials of every backend of a kind."""
_WHATS: Final = (
    *("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"),
    *("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"),
    *("SERVICE_ACCOUNT", "ACCOUNT_KEY", "SAS_TOKEN", "USER", "PASSWORD", "TOKEN"),
)
_VISIBLE: Final = re.compile("[!-~]+")
_ROLES: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


@dataclass(frozen=True, slots=True)
class S3Keys:
    """A key pair, and the token that belongs to a temporary one; no text of it shows the secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def own_variable(backend: str, what: str) -> str:
    """The name of the variable that holds `what` for that backend alone."""
    return f"{OWN}_{re.sub('[^A-Za-z0-9]', '_', backend).upper()}_{what}"


def own_value(backend: str, what: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """What the environment says for that backend alone, None where it says nothing."""
    return environment.get(own_variable(backend, what), "").strip() or None


def variables_of(backends: Iterable[str]) -> frozenset[str]:
    """The names of all variables that may hold credentials of these backends."""
    return FOR_ALL | {own_variable(backend, what) for backend in backends for what in _WHATS}


def s3_keys(
    backend: str, place: Place, environment: Mapping[str, str] = os.environ
) -> S3Keys | None:
    """The keys to use; None where the library's own chain is to find a role.

    DeniedError when there are none, or none that can be.
    """
    keys = _find(backend, place, environment)
    if keys is None:
        return None
    for text in (keys.access_key_id, keys.secret_access_key, keys.token or "none"):
        checked(backend, text)  # the library panics
    return keys


def checked(backend: str, text: str) -> str:
    """A key or token that can stand in a header; DeniedError where it cannot."""
    if _VISIBLE.fullmatch(text) is None:
        raise DeniedError(
            f"backend {backend}: its keys have characters that no key has, as spaces or line "
            "breaks; set them again without",
            backend=backend,
        )
    return text


def _find(backend: str, place: Place, environment: Mapping[str, str]) -> S3Keys | None:
    own = f"{own_variable(backend, '')}"
    found = _pair(environment, own)
    if found is None and place.profile:
        found = _from_file(backend, place.profile, environment)
    found = found or _pair(environment, "AWS_")
    if found is not None or any(environment.get(name) for name in _ROLES):
        return found
    profile = environment.get("AWS_PROFILE", "")
    if profile or _has_profile("default", environment):
        return _from_file(backend, profile or "default", environment)
    if place.host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return None
    raise DeniedError(
        f"backend {backend}: no credentials for {place.host}; set AWS_ACCESS_KEY_ID and "
        f"AWS_SECRET_ACCESS_KEY, or {own}ACCESS_KEY_ID and so on for this backend alone",
        backend=backend,
    )


def _pair(environment: Mapping[str, str], begin: str) -> S3Keys | None:
    whats = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    # A variable that was read from a file often has the file's line break at its end.
    key, secret, token = (environment.get(f"{begin}{what}", "").strip() for what in whats)
    return S3Keys(key, secret, token or None) if key and secret else None


def _from_file(backend: str, profile: str, environment: Mapping[str, str]) -> S3Keys:
    section = _profiles(environment).get(profile, {})
    key, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    if not key or not secret:
        raise DeniedError(
            f"backend {backend}: {_path(environment)} has no keys for the profile {profile!r}; "
            "write them there, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            backend=backend,
        )
    return S3Keys(key, secret, section.get("aws_session_token") or None)


def _has_profile(profile: str, environment: Mapping[str, str]) -> bool:
    return profile in _profiles(environment)


def _profiles(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Profiles in the shared file, {} where it cannot be read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        with open(_path(environment), encoding="utf-8") as file:
            parser.read_file(file)
    except (OSError, ValueError, configparser.Error):  # its message would quote a line
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def _path(environment: Mapping[str, str]) -> str:
    named = environment.get("AWS_SHARED_CREDENTIALS_FILE")
    return os.path.expanduser(named or "~/.aws/credentials")
