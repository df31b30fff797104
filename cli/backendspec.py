"""`NAME=URL[,domain=…,weight=…,capacity=…,rate=…]`, as `init --backend` takes it; and what it takes
with `--join`."""

import os
import re
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ..redaction import redact

if TYPE_CHECKING:
    from ..backendchanges import BackendChanges
    from ..creating import BackendSpec
    from ..finding import Place

_OPTIONS: Final = ("domain", "weight", "capacity", "rate")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_OPTION: Final = re.compile(r"(?P<url>.*),(?P<key>[a-z]+)=(?P<value>[^,]*)", re.DOTALL)


def parse_backend(text: str) -> "BackendSpec":
    """Take a backend's description apart; UsageError says what is wrong with it.

    Options are read from the end, so a URL may hold `=` and `,`; only `,word=` would be taken for
    an option, and is refused where it is none.
    """
    name, equals, rest = text.partition("=")
    if not equals or "/" in name:
        raise UsageError(
            f"--backend {redact(text)!r}: write it as NAME=URL, for example d0=/disk1/models"
        )
    options: dict[str, str] = {}
    while (match := _OPTION.fullmatch(rest)) is not None:
        if match["key"] not in _OPTIONS or match["key"] in options:
            raise UsageError(
                f"--backend {redact(text)!r}: {match['key']!r} is unknown or doubled; options are "
                "domain=, weight=, capacity= and rate=, once each"
            )
        options[match["key"]] = match["value"]
        rest = match["url"]
    return make_backend(name, rest, *map(options.get, _OPTIONS))


def parse_place(text: str) -> "Place":
    """Where a backend is that its store knows already, as `init --join` takes it: URL, or
    NAME=URL[,rate=…]; UsageError says what is wrong with it."""
    from ..backends.registry import is_local_path
    from ..finding import Place

    name = text.partition("=")[0]
    if _NAME.fullmatch(name) is None or name == text:
        url = os.path.abspath(os.path.expanduser(text)) if is_local_path(text) else text
        return Place(url)
    spec = parse_backend(text)
    if (spec.domain, spec.weight, spec.capacity) != (None, 1.0, None):
        raise UsageError(
            f"backend {spec.name}: its domain, weight and capacity are the store's: join without "
            "them; `modelfloat backend set` changes them"
        )
    return Place(spec.url, spec.name, spec.rate)


def make_backend(
    name: str,
    url: str,
    domain: str | None,
    weight: str | None,
    capacity: str | None = None,
    rate: str | None = None,
) -> "BackendSpec":
    """A backend from its parts, checked; UsageError says which part cannot be."""
    from ..backends.registry import is_local_path
    from ..creating import BackendSpec
    from ..storeconfig import check_backend_name, check_rate

    if not url:
        raise UsageError(f"backend {name}: the URL is missing; a plain path is a URL")
    domain = None if domain is None else _domain(name, domain)
    share = 1.0 if weight is None else _weight(name, weight)
    most = None if capacity is None else _capacity(name, capacity)
    if is_local_path(url):
        # In a configuration a relative path begins at the store; on a command line, here.
        url = os.path.abspath(os.path.expanduser(url))
    rate = None if rate is None else check_rate(rate)
    return BackendSpec(check_backend_name(name), url, domain, share, most, rate)


def parse_changes(
    name: str,
    domain: str | None,
    weight: str | None,
    capacity: str | None,
    rate: str | None = None,
) -> "BackendChanges":
    """What `backend set` changes; UsageError where that is nothing, or cannot be."""
    from ..storeconfig import check_rate

    found: BackendChanges = {}
    if domain is not None:
        found["domain"] = _domain(name, domain)
    if weight is not None:
        found["weight"] = _weight(name, weight)
    if capacity is not None:
        found["capacity"] = None if capacity == "none" else _capacity(name, capacity)
    if rate is not None:
        found["rate"] = None if rate == "default" else check_rate(rate)
    if not found:
        raise UsageError("nothing to change: give --domain, --weight, --capacity or --rate")
    return found


def _domain(name: str, text: str) -> str:
    if not text:
        raise UsageError(f"backend {name}: the domain is empty; leave it out for the device's own")
    return text


def _weight(name: str, text: str) -> float:
    from ..storeconfig import check_weight

    try:
        return check_weight(float(text))
    except ValueError:
        raise UsageError(f"backend {name}: the weight {text!r} is no number") from None


def _capacity(name: str, text: str) -> int:
    from ..storeconfig import check_capacity
    from .settingvalues import size

    try:
        return check_capacity(size(text))
    except ValueError as error:
        raise UsageError(f"backend {name}: the capacity {text!r} cannot be: {error}") from None
