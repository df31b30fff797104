"""From a URL to a backend: the one table of schemes, and what every opened backend is wrapped in.

A new scheme is one line in `SCHEMES`; its module is imported when it is first used.
"""

import importlib
import re
from collections.abc import Callable
from typing import Final, cast

from ..errors import UnsupportedError, UsageError
from . import limit, retry
from .base import Backend

SCHEMES: Final[dict[str, str]] = {
    "file": ".local:LocalBackend",
    "memory": ".memory:MemoryBackend",
    "webdav": ".webdav:WebDavBackend",
    "webdavs": ".webdav:WebDavBackend",
}
"""Scheme → module and class; `from_url(name, url, domain=, create=)` opens one."""

EXTRAS: Final[dict[str, str]] = {"webdav": "webdav", "webdavs": "webdav"}
"""Scheme → the extra of this package that brings what its module imports."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_backend(
    name: str,
    url: str,
    *,
    domain: str | None = None,
    create: bool = False,
    limits: limit.Limits = limit.DEFAULT,
    policy: retry.RetryPolicy | None = None,
) -> Backend:
    """Open the backend at `url`: a plain path, or a URL of one of `SCHEMES`.

    `domain` overrides what the backend says of itself. Only with `create` is a place made that is
    not there; one that is missing opens well and is UnavailableError when used. UsageError for a
    scheme nobody knows. May touch a disk for a moment: on one that may hang, call it in a thread.

    The result is limit(bare), and retry(limit(bare)) with a `policy`. In this order each try waits
    for a slot and has a deadline of its own, and no slot is held during the waits between tries.
    The engine opens without one: it reads from parity rather than wait for a backend that is away,
    and puts a retry round its writes itself.
    """
    backend: Backend = limit.LimitBackend(_bare(name, url, domain, create), limits)
    return backend if policy is None else retry.RetryBackend(backend, policy)


def is_local_path(url: str) -> bool:
    """Whether `url` is a plain path, which the caller may have to resolve first."""
    return _SCHEME.match(url) is None


def _bare(name: str, url: str, domain: str | None, create: bool) -> Backend:
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else "file"
    if scheme not in SCHEMES:
        known = ", ".join(f"{known}://" for known in sorted(SCHEMES))
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
    return cast("Callable[..., Backend]", found.from_url)(name, url, domain=domain, create=create)
