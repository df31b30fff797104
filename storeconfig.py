"""What a store's configuration says, as values, and what each of them may be."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .errors import NotFoundError, UsageError
from .ids import BackendId, PublicKey, StoreId
from .rate import changed

Scalar = str | bool | int | float
"""What a setting may be."""

STATES: Final = ("draining", "read-only")
"""What a user may decide of a backend: both are read but get no new shards, and what is read-only
is not changed at all."""
_BACKEND_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """One backend: its name, URL and UUID; `domain` is None where the backend's own is meant.

    `capacity` is how many bytes of shards it may hold, None where only its space limits them.
    `state` is one of STATES where the user decided that it gets no new shards, else None.
    `conditional_put` is whether a probe found that it decides such puts; None where none was made.
    `rate` is what changes its provider's own rate, None where that is kept to.
    """

    name: str
    url: str
    id: BackendId
    domain: str | None = None
    weight: float = 1.0
    capacity: int | None = None
    state: str | None = None
    conditional_put: bool | None = None
    rate: str | None = None


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """A store: its id, the scheme of new packs as text (`4+2`), and its backends in order.

    `settings` are kept as they are: only the command line knows what they mean. `encrypted` says
    that its backends hold nothing of it in the clear; it never changes. `trusted` are the keys
    whose signatures of refs are believed, with their names.
    """

    id: StoreId
    scheme: str
    backends: tuple[BackendConfig, ...]
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    encrypted: bool = False
    trusted: Mapping[PublicKey, str] = field(default_factory=dict)

    def backend(self, name: str) -> BackendConfig:
        """The backend of that name; NotFoundError."""
        for each in self.backends:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in self.backends)
        raise NotFoundError(f"the store has no backend {name}; it has {names}")


def check_backend_name(name: str) -> str:
    """`name` if it may name a backend, else UsageError."""
    if _BACKEND_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name a backend: use 1 to 64 letters, digits, '.', '_' and '-', "
            "a letter or digit first"
        )
    return name


def check_trusted_name(name: str) -> str:
    """`name` if it may name a key that is trusted, else UsageError."""
    if _BACKEND_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name a key: use 1 to 64 letters, digits, '.', '_' and '-', a letter "
            "or digit first"
        )
    return name


def check_weight(weight: float) -> float:
    """`weight` if it is a positive, finite number, else UsageError."""
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"a backend's weight must be a positive number, not {weight:g}")
    return weight


def check_capacity(capacity: int) -> int:
    """`capacity` if so many bytes are something and fit into a TOML number, else UsageError."""
    if not 0 < capacity < 1 << 63:
        raise UsageError(
            "a backend's capacity must be at least one byte, and below 2^63; to keep new shards "
            "off a backend leave it out"
        )
    return capacity


def check_rate(rate: str) -> str:
    """`rate` if it says how much may be asked of a backend, else UsageError."""
    try:
        changed(None, rate)
    except ValueError as error:
        raise UsageError(f"a backend's rate cannot be {rate!r}: {error}") from None
    return rate
