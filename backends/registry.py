"""From a URL to a backend: the one table of schemes, and what every opened backend is wrapped in.

A new scheme is one line in `SCHEMES`; its module is imported when it is first used.
"""

import importlib
import re
from collections.abc import Callable
from typing import Final, cast

from ..errors import UnsupportedError, UsageError
from ..rate import changed
from . import limit, retry
from .base import Backend
from .direct import direct
from .rated import RateBackend
from .rates.keeper import Keeper

SCHEMES: Final[dict[str, str]] = {
    "az": ".objects.backend:ObjectBackend",
    "file": ".local:LocalBackend",
    "gdrive": ".gdrive.backend:GDriveBackend",
    "gs": ".objects.backend:ObjectBackend",
    "ipfs": ".ipfs.backend:IpfsBackend",
    "ipfs+gateway": ".ipfs.gateway:GatewayBackend",
    "ipfs+gateway+http": ".ipfs.gateway:GatewayBackend",
    "ipfs+https": ".ipfs.backend:IpfsBackend",
    "mega": ".mega.backend:MegaBackend",
    "memory": ".memory:MemoryBackend",
    "s3": ".objects.backend:ObjectBackend",
    "webdav": ".webdav.backend:WebDavBackend",
    "webdavs": ".webdav.backend:WebDavBackend",
}
"""Scheme → module and class; `from_url(name, url, domain=, create=)` opens one."""

PROBED: Final = frozenset({"az", "gs", "s3"})
"""Schemes whose servers are asked whether they decide conditional puts (`conditional`); their
`from_url` takes the answer as `conditional_put=`. Others know it by themselves."""

REMEMBERING: Final = frozenset({"gdrive", "mega"})
"""Schemes whose `from_url` takes `state=`: the folder in which a backend may keep what it has to
remember between processes, as who is logged in; None where there is none."""

EXTRAS: Final[dict[str, str]] = {
    "az": "objects",
    "gdrive": "gdrive",
    "gs": "objects",
    "ipfs": "ipfs",
    "ipfs+gateway": "ipfs",
    "ipfs+gateway+http": "ipfs",
    "ipfs+https": "ipfs",
    "mega": "mega",
    "s3": "objects",
    "webdav": "webdav",
    "webdavs": "webdav",
}
"""Scheme → the extra of this package that brings what its module imports."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_backend(
    name: str,
    url: str,
    *,
    domain: str | None = None,
    create: bool = False,
    conditional_put: bool | None = None,
    state: str | None = None,
    limits: limit.Limits = limit.DEFAULT,
    policy: retry.RetryPolicy | None = None,
    rate: str | None = None,
    keeper: Callable[[str], Keeper] | None = None,
) -> Backend:
    """Open the backend at `url`: a plain path, or a URL of one of `SCHEMES`.

    `domain` overrides what the backend says of itself, `conditional_put` is what a probe found
    (`conditional`), None where there was none. `state` is for those of REMEMBERING. Only with
    `create` is a place made that is not there; one that is missing opens well and is
    UnavailableError when used. UsageError for a scheme nobody knows. May touch a disk for a
    moment: on one that may hang, call it in a thread.

    The result is rate(limit(bare)), and retry(rate(limit(bare))) with a `policy`. In this order
    each try waits for its turn, then for a slot, has a deadline of its own, and no slot is held
    during the waits between tries. What threads may read themselves (`direct`) has no rate unless
    `rate` gives it one, in the words of `rate.changed`; ValueError where they make none. `keeper`
    keeps the turns of an account, "" where the backend has one to itself; without it this process
    counts for itself.

    The engine opens without one: it reads from parity rather than wait for a backend that is away,
    and puts a retry round its writes itself.
    """
    bare = _bare(name, url, domain, create, conditional_put, state)
    backend = _at_rate(limit.LimitBackend(bare, limits), rate, keeper)
    return backend if policy is None else retry.RetryBackend(backend, policy)


def _at_rate(backend: Backend, text: str | None, keeper: Callable[[str], Keeper] | None) -> Backend:
    own = backend.properties.rate
    rate = own if text is None else changed(own, text)
    if direct(backend) is not None and (rate is None or not rate.limits):
        return backend
    kept = keeper(rate.account if rate else "") if keeper else None
    return RateBackend(backend, rate, kept)


def is_local_path(url: str) -> bool:
    """Whether `url` is a plain path, which the caller may have to resolve first."""
    return _SCHEME.match(url) is None


def is_probed(url: str) -> bool:
    """Whether a backend at `url` is to be asked what it makes of conditional puts."""
    match = _SCHEME.match(url)
    return match is not None and match[1].lower() in PROBED


def _bare(
    name: str,
    url: str,
    domain: str | None,
    create: bool,
    conditional_put: bool | None,
    state: str | None,
) -> Backend:
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else "file"
    if scheme not in SCHEMES:
        known = ", ".join(f"{known}://" for known in sorted(SCHEMES) if known != "memory")
        raise UsageError(
            f"backend {name}: nothing here opens {scheme}:// URLs; use a path or one of {known}"
        )
    module, _, class_ = SCHEMES[scheme].partition(":")
    try:
        found = getattr(importlib.import_module(module, __package__), class_)
    except ModuleNotFoundError as error:
        if scheme not in EXTRAS:
            raise
        raise UnsupportedError(
            f"backend {name}: {scheme}:// needs {error.name}; install it with `pip install "
            f"'modelfloat[{EXTRAS[scheme]}]'`"
        ) from None
    more: dict[str, bool | str | None] = {}
    if scheme in PROBED:
        more["conditional_put"] = conditional_put
    if scheme in REMEMBERING:
        more["state"] = state
    opener = cast("Callable[..., Backend]", found.from_url)
    return opener(name, url, domain=domain, create=create, **more)
