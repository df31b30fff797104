"""What Drive's refusals mean, in our words.

A refusal is a status and a document with a reason. Source of the reasons: Google's "Resolve errors"
in the guides of the Drive API, and its page of usage limits; 750 GB a day is what an account may
upload, and is told as a rate limit that does not pass.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from ...errors import BackendError, DeniedError, QuotaError, UnavailableError

SLOWER: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "backendError"}
)
"""Reasons that pass when less is asked."""
_FULL: Final = frozenset(
    {
        *("storageQuotaExceeded", "quotaExceeded", "teamDriveFileLimitExceeded"),
        *("numChildrenInNonRootLimitExceeded", "activeItemCreationLimitExceeded"),
        *("uploadLimitExceeded", "uploadTooLarge"),
    }
)
_LATER: Final = frozenset({"dailyLimitExceeded", "downloadQuotaExceeded", "downloadLimitExceeded"})
_GONE: Final = frozenset({404, 410})
BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]")
"""What no reason has, and what would break a message's line or move a terminal's cursor."""
DEEPEST: Final = 64 << 10
"""Bytes of a refusal that are read."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status that is no success, and the first reason in its document ("" where it has none).

    `after` is how many seconds Google asks to wait, None where it does not say.
    """

    status: int
    reason: str = ""
    after: float | None = None

    @property
    def passes(self) -> bool:
        """Whether asking again a little later may help."""
        return self.status in BUSY or (self.status == 403 and self.reason in SLOWER)

    @property
    def gone(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status in _GONE


def refusal_of(status: int, body: bytes, retry_after: str) -> Refusal:
    """What an answer with such a status, body and header `Retry-After` says."""
    reason = ""
    try:
        error = json.loads(body)["error"]
        listed = error.get("errors") or [{}]
        reason = str(listed[0].get("reason", "") or error.get("status", ""))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    reason = _ODD.sub("", reason)[:80]
    return Refusal(status, reason, float(retry_after) if retry_after.isdecimal() else None)


def failure(backend: str, key: str, refusal: Refusal) -> BackendError:
    """The error for a refusal that was not expected."""
    what = f"backend {backend}: {key}" if key else f"backend {backend}"
    reason = f"{refusal.status} {refusal.reason}".strip()
    if refusal.status == 401:
        return no_login(backend, "Google refuses its login")
    if refusal.status == 413 or refusal.reason in _FULL:
        return QuotaError(
            f"{what}: Google Drive has no room for it ({reason}); make room there or add a backend",
            backend=backend,
            key=key,
        )
    if refusal.passes or refusal.reason in _LATER or refusal.status >= 500:
        when = "later" if refusal.after is None else f"in {refusal.after:.0f} s"
        return UnavailableError(
            f"{what}: Google Drive asks us to come back {when} ({reason}); ask less, or wait",
            backend=backend,
            key=key,
        )
    return DeniedError(
        f"{what}: Google Drive refuses it ({reason}); check what the account that is logged in may "
        "do in that folder",
        backend=backend,
        key=key,
    )


def stopped(backend: str, seconds: float) -> QuotaError:
    """The error while an account may upload nothing more."""
    return QuotaError(
        f"backend {backend}: Google Drive takes no more uploads of this account for now (750 GB a "
        f"day); it is tried again in {seconds / 60:.0f} min",
        backend=backend,
    )


def no_login(backend: str, problem: str) -> DeniedError:
    """The error where there is no token, or none that is good."""
    return DeniedError(
        f"backend {backend}: {problem}; log in with `modelfloat backend login`",
        backend=backend,
    )


def stranger(backend: str, key: str, problem: str) -> UnavailableError:
    """The error for an answer that Google Drive does not give."""
    what = f"backend {backend}: {key}" if key else f"backend {backend}"
    return UnavailableError(
        f"{what}: {problem}, as Google Drive does not answer; check whether a proxy or a login "
        "page answers in its place",
        backend=backend,
        key=key,
    )
