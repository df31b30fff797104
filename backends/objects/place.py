"""URLs of object stores, taken apart: `s3://bucket/prefix?endpoint=…`, `gs://…`, `az://…`.

A URL says where, never who: it lands in the configuration, in markers and on screens. So user
information and every parameter that is not known is refused, and no message quotes a value.

| scheme | parameters |
|---|---|
| s3 | `endpoint` (Amazon's by default), `region`, `profile`, `addressing` (`path`, `virtual`) |
| gs | `endpoint` |
| az | `account`, `endpoint` |
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ...errors import UsageError

PARAMETERS: Final[dict[str, frozenset[str]]] = {
    "s3": frozenset({"endpoint", "region", "profile", "addressing"}),
    "gs": frozenset({"endpoint"}),
    "az": frozenset({"account", "endpoint"}),
}
DEFAULT_REGION: Final = "us-east-1"
"""As in Amazon's own tools where none is named; most other servers do not look at it."""

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._~+=@,-]+(?:/[A-Za-z0-9._~+=@,-]+)*")
_PORT: Final = re.compile(r":[0-9]+$")
_WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket (a container in Azure) and the prefix in it below which keys lie.

    `endpoint` is the server's own URL without a path; `prefix` has no slashes at its ends.
    """

    scheme: str
    bucket: str
    prefix: str
    endpoint: str
    region: str = ""
    profile: str = ""
    account: str = ""
    virtual: bool = False

    @property
    def host(self) -> str:
        """The server, with its port where that is not the usual one."""
        return urlsplit(self.endpoint).netloc

    @property
    def domain(self) -> str:
        """What fails together: all buckets on one host, behind whichever of its ports."""
        return f"{self.scheme}:{_PORT.sub('', self.host)}"

    @property
    def service(self) -> str:
        """Where an account of Azure is: on an address, as emulators are, its name is in the path
        (Azurite's "IP-style URL"); a host's name has it."""
        try:
            ip_address(urlsplit(self.endpoint).hostname or "")
        except ValueError:
            return self.endpoint
        return f"{self.endpoint}/{self.account}"

    @property
    def plain(self) -> bool:
        """Whether the URL asks for HTTP without TLS."""
        return self.endpoint.startswith("http://")

    @property
    def near(self) -> bool:
        """Whether the server is this machine."""
        host = urlsplit(self.endpoint).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def address(self) -> str:
        """The bucket's own URL."""
        if self.virtual:
            begin, _, host = self.endpoint.partition("://")
            return f"{begin}://{self.bucket}.{host}"
        return f"{self.endpoint}/{self.bucket}"


def parse_place(backend: str, url: str, environment: Mapping[str, str] = os.environ) -> Place:
    """Take a URL apart; UsageError says what is wrong with it, without quoting what may be secret.

    A region, or an account of Azure, that the URL leaves out is taken from `environment`.
    """
    parts = _split(backend, url)
    scheme = parts.scheme.lower()
    given = _parameters(backend, scheme, parts.query)
    bucket, prefix = parts.netloc, unquote(parts.path).strip("/")
    if _BUCKET.fullmatch(bucket) is None:
        raise _wrong(backend, "names no bucket")
    if prefix and (_PREFIX.fullmatch(prefix) is None or {".", ".."} & set(prefix.split("/"))):
        raise _wrong(backend, "has a prefix of other characters than letters, digits and ._~+=@,-")
    region = given.get("region") or _first(environment, "AWS_REGION", "AWS_DEFAULT_REGION")
    account = given.get("account") or _first(environment, "AZURE_STORAGE_ACCOUNT_NAME")
    if scheme == "az" and not account:
        raise _wrong(backend, "does not say whose storage it is, with account=NAME")
    region = region or DEFAULT_REGION
    endpoint = given.get("endpoint")
    return Place(
        scheme,
        bucket,
        prefix,
        _endpoint(backend, endpoint) if endpoint else _usual_endpoint(scheme, region, account),
        region if scheme == "s3" else "",
        given.get("profile", ""),
        account if scheme == "az" else "",
        given.get("addressing") == "virtual",
    )


def _split(backend: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(backend, "is none") from None
    if "@" in parts.netloc:
        raise _secret(backend)
    if parts.fragment:
        raise _wrong(backend, "has a #")
    return parts


def _parameters(backend: str, scheme: str, query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS[scheme]:
            if _tells(name):
                raise _secret(backend)
            raise _wrong(backend, f"may have the parameters {_known(scheme)}, and has another one")
        if name in given or not value:
            raise _wrong(backend, f"has {name}= twice, or with nothing behind it")
        if name != "endpoint" and _WORD.fullmatch(value) is None:
            raise _wrong(backend, f"has a {name} that cannot be")
        given[name] = value
    if given.get("addressing", "path") not in ("path", "virtual"):
        raise _wrong(backend, "has an addressing that is neither path nor virtual")
    return given


def _known(scheme: str) -> str:
    return ", ".join(sorted(PARAMETERS[scheme]))


def _tells(name: str) -> bool:
    """Whether a parameter of that name may hold a secret."""
    return re.search("key|secret|token|pass|sig|cred|user|sas", name.lower()) is not None


def _wrong(backend: str, problem: str) -> UsageError:
    return UsageError(f"backend {backend}: its URL {problem}; docs/backends.md shows how they look")


def _secret(backend: str) -> UsageError:
    return UsageError(
        f"backend {backend}: credentials do not belong into its URL, which is written down and "
        "shown; docs/backends.md says how to put them into the environment"
    )


def _endpoint(backend: str, text: str) -> str:
    """`https://host[:port]`; without a scheme it is https, and http only where the URL says so."""
    if "@" in text:
        raise _secret(backend)
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    more = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or more:
        raise _wrong(backend, "has an endpoint that is not https://HOST, with a port or without")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def _usual_endpoint(scheme: str, region: str, account: str) -> str:
    """The provider's own server."""
    if scheme == "gs":
        return "https://storage.googleapis.com"
    if scheme == "az":
        return f"https://{account}.blob.core.windows.net"
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://s3.{region}.amazonaws.com{china}"


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")
