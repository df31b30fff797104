"""MEGA's error codes in our words.

Source: MEGA, API documentation, "Error codes"; the source of its SDK (`types.h`) has later ones.
"""

from typing import Final

from ...errors import BackendError, DeniedError, QuotaError, UnavailableError

AGAIN: Final = -3
RATE: Final = -4
EXPIRED: Final = -8
ABSENT: Final = -9
SESSION: Final = -15
BLOCKED: Final = -16
OVER_QUOTA: Final = -17
SECOND_FACTOR: Final = -26
_FULL: Final = frozenset({OVER_QUOTA, -24, -29, -401})
_DENIED: Final = frozenset({-11, BLOCKED, -27, -28})
_MEANINGS: Final = {
    -1: "an internal error",
    -2: "wrong arguments",
    AGAIN: "busy",
    RATE: "too many requests",
    -5: "a failed upload",
    -6: "too many connections",
    -7: "bytes out of range",
    EXPIRED: "an expired address",
    ABSENT: "nothing there",
    -11: "access denied",
    -13: "an incomplete resource",
    SESSION: "an expired session",
    BLOCKED: "a blocked account or file",
    OVER_QUOTA: "over quota",
    -18: "temporarily not available",
    -19: "too many connections",
    -24: "quota about to be exceeded",
    -27: "access denied for this user",
    -28: "a business account whose time is over",
    -29: "an account that is over quota for too long",
    -401: "over quota",
}


class RefusedError(Exception):
    """MEGA answered with an error's number; `wait` is for how many seconds, if it said that."""

    def __init__(self, code: int, wait: float | None = None) -> None:
        super().__init__(meaning(code))
        self.code = code
        self.wait = wait


def meaning(code: int) -> str:
    """What a code says, with its number."""
    return f"{_MEANINGS.get(code, 'an error')} ({code})"


def failure(name: str, key: str, refused: RefusedError) -> BackendError:
    """Our error for a refusal that has nothing to do with sessions or with transfer quotas."""
    what = f"backend {name}: {key}" if key else f"backend {name}"
    said = meaning(refused.code)
    if refused.code in _FULL:
        return QuotaError(
            f"{what}: the MEGA account has no room: {said}; make room there or add a backend",
            backend=name,
            key=key,
        )
    if refused.code in _DENIED:
        return DeniedError(
            f"{what}: MEGA refuses it: {said}; look at the account", backend=name, key=key
        )
    return UnavailableError(
        f"{what}: MEGA answers {said}; it is tried again later", backend=name, key=key
    )
