"""The marker `modelfloat.json` at the root of every backend, and its rules.

It says whose the backend is (`docs/format.md`, Marker). A backend whose marker is missing, foreign
or unreadable is *down*, never empty: an unmounted disk must not look like lost data. A marker of a
newer format is FormatError: the store as a whole is for a newer release.

    {"format": 1, "compat": 0, "ro_compat": 0, "incompat": 0, "store": 32 hex, "backend": 32 hex,
     "name": "d0", "erasure": "4+2",
     "backends": [{"backend", "name", "url", "domain", "weight", "capacity"}]}
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ..errors import FormatError, KeyExistsError, KeyNotFoundError, MarkerError, UsageError
from ..ids import UUID_SIZE, BackendId, StoreId
from ..redaction import redact
from .base import Backend
from .keys import MARKER_KEY

FORMAT: Final = 1
CAPACITIES: Final = 1
"""In `compat`: a backend of the list has a capacity."""
KNOWN_RO_COMPAT: Final = 0
ENCRYPTED: Final = 1 << 1
"""In `incompat`: what the store has on its backends is encrypted."""
KNOWN_INCOMPAT: Final = ENCRYPTED
LARGEST: Final = 1 << 20
"""Largest marker in bytes."""

_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * UUID_SIZE}}}")
_ERASURE: Final = re.compile(r"[1-9][0-9]?\+(?:0|[1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class MarkerBackend:
    """One backend of the store, as every marker lists them. `url` holds no user information.

    `capacity` is how many bytes of shards it may hold, None where only its space limits them.
    """

    id: BackendId
    name: str
    url: str
    domain: str
    weight: float = 1.0
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """One backend's marker: the store it belongs to, its own UUID and name, and all backends.

    `erasure` is the store's scheme for new packs, `k+m`. The flags are sets of 32 bits; CAPACITIES
    is set by `encode` where it belongs.
    """

    store: StoreId
    backend: BackendId
    name: str
    erasure: str
    backends: tuple[MarkerBackend, ...]
    compat: int = 0
    ro_compat: int = 0
    incompat: int = 0


def encode(marker: Marker) -> bytes:
    """The file's bytes; UsageError when they would be too many or a text is not Unicode."""
    document = {
        "format": FORMAT,
        "compat": marker.compat | _compat(marker.backends),
        "ro_compat": marker.ro_compat,
        "incompat": marker.incompat,
        "store": marker.store.hex(),
        "backend": marker.backend.hex(),
        "name": marker.name,
        "erasure": marker.erasure,
        "backends": [
            {
                "backend": entry.id.hex(),
                "name": entry.name,
                "url": redact(entry.url),
                "domain": entry.domain,
                "weight": float(entry.weight),
                **({} if entry.capacity is None else {"capacity": entry.capacity}),
            }
            for entry in marker.backends
        ],
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    try:
        data = f"{text}\n".encode()
    except UnicodeEncodeError:
        raise UsageError("a backend's name, URL or domain is not valid UTF-8; rename it") from None
    if len(data) > LARGEST:
        raise UsageError(f"{len(marker.backends)} backends are too many for one store's marker")
    return data


def _compat(backends: Iterable[MarkerBackend]) -> int:
    return CAPACITIES if any(entry.capacity is not None for entry in backends) else 0


def decode(data: bytes, backend: str) -> Marker:
    """Read a marker found on the backend of that name.

    FormatError when a newer release wrote it, MarkerError when it is malformed.
    """
    reader = _Reader(backend)
    document = reader.document(data)
    format_ = reader.number(document, "format")
    incompat = reader.number(document, "incompat")
    if format_ > FORMAT or incompat & ~KNOWN_INCOMPAT:
        raise FormatError(
            f"backend {backend}: a newer release wrote its marker (format {format_}, features "
            f"{incompat:#x}); upgrade"
        )
    if format_ < 1:
        reader.fail("has a format that never was")
    return Marker(
        StoreId(reader.uuid(document, "store")),
        BackendId(reader.uuid(document, "backend")),
        reader.text(document, "name"),
        reader.erasure(document),
        reader.entries(document),
        reader.number(document, "compat"),
        reader.number(document, "ro_compat"),
        incompat,
    )


class _Reader:
    """Takes fields out of a marker and says whose marker is wrong."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def fail(self, problem: str) -> NoReturn:
        raise MarkerError(
            f"backend {self._backend}: its {MARKER_KEY} {problem}; "
            "`modelfloat verify --repair` writes it anew where its shards are this store's",
            backend=self._backend,
            key=MARKER_KEY,
        )

    def document(self, data: bytes) -> Mapping[str, Any]:
        if len(data) > LARGEST:
            self.fail("is too large")
        try:
            document = json.loads(data.decode())
        except (ValueError, RecursionError):
            self.fail("is not JSON")
        if not isinstance(document, dict):
            self.fail("is not a JSON object")
        return document

    def number(self, table: Mapping[str, Any], field: str) -> int:
        value = table.get(field)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
            self.fail(f"has no number in {field}")
        return value

    def text(self, table: Mapping[str, Any], field: str) -> str:
        value = table.get(field)
        if not isinstance(value, str) or not value:
            self.fail(f"has no text in {field}")
        return value

    def uuid(self, table: Mapping[str, Any], field: str) -> bytes:
        text = self.text(table, field)
        if _HEX.fullmatch(text) is None:
            self.fail(f"has no UUID in {field}")
        return bytes.fromhex(text)

    def erasure(self, table: Mapping[str, Any]) -> str:
        text = self.text(table, "erasure")
        if _ERASURE.fullmatch(text) is None:
            self.fail("has no scheme in erasure")
        return text

    def entries(self, table: Mapping[str, Any]) -> tuple[MarkerBackend, ...]:
        entries = table.get("backends")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.fail("has no list in backends")
        return tuple(self._entry(entry) for entry in entries)

    def _entry(self, table: Mapping[str, Any]) -> MarkerBackend:
        weight = table.get("weight")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            self.fail("has no number in weight")
        if not 0 < weight <= sys.float_info.max:
            self.fail("has a weight that is not positive")
        capacity = table.get("capacity")
        if isinstance(capacity, bool) or not isinstance(capacity, int | None):
            self.fail("has no number in capacity")
        if capacity is not None and not 0 < capacity < 1 << 63:
            self.fail("has a capacity that cannot be")
        return MarkerBackend(
            BackendId(self.uuid(table, "backend")),
            self.text(table, "name"),
            self.text(table, "url"),
            self.text(table, "domain"),
            float(weight),
            capacity,
        )


async def read_marker(backend: Backend) -> Marker:
    """The marker of a backend; MarkerError when there is none or it is malformed."""
    try:
        data = await backend.get(MARKER_KEY, most=LARGEST)
    except KeyNotFoundError:
        raise MarkerError(
            f"backend {backend.name}: no {MARKER_KEY} at its root; is the disk mounted?",
            backend=backend.name,
            key=MARKER_KEY,
        ) from None
    return decode(data, backend.name)


async def check_marker(backend: Backend, store: StoreId, backend_id: BackendId) -> Marker:
    """The marker of a backend that must be `backend_id` of `store`; MarkerError when it is not."""
    marker = await read_marker(backend)
    if marker.store != store:
        raise _foreign(backend, f"belongs to store {marker.store.hex()}, not to {store.hex()}")
    if marker.backend != backend_id:
        raise _foreign(
            backend,
            f"is backend {marker.name} ({marker.backend.hex()}) of this store, not "
            f"{backend_id.hex()}",
        )
    return marker


def check_encrypted(marker: Marker, backend: str, *, encrypted: bool) -> None:
    """FormatError where a store that is encrypted is taken for one in the clear, as after its
    configuration was written anew: what were added then could be read by everybody; and where one
    in the clear is taken for encrypted: its markers would come to say so too."""
    if marker.incompat & ENCRYPTED and not encrypted:
        raise FormatError(
            f"backend {backend}: its {MARKER_KEY} says that the store is encrypted, and "
            "config.toml does not: put `encrypted = true` below [store]"
        )
    if encrypted and not marker.incompat & ENCRYPTED:
        raise FormatError(
            f"backend {backend}: its {MARKER_KEY} says that the store is not encrypted, and "
            "config.toml says that it is: take `encrypted = true` out"
        )


async def write_marker(backend: Backend, marker: Marker, *, new: bool) -> None:
    """Put `marker` at the root of a backend.

    With `new` the backend must not have one, unless it is of the same store and UUID (an
    interrupted init that is run again); without it, it must have that one already. Otherwise
    MarkerError. FormatError when a newer release forbids this one to write.
    """
    data = encode(marker)
    if new:
        try:
            await backend.put(MARKER_KEY, [data], if_absent=True)
        except KeyExistsError:
            pass
        else:
            return
        there = await read_marker(backend)
        if there.store != marker.store:
            # The id of the store that is being made says nothing to anybody.
            raise _foreign(backend, f"belongs to store {there.store.hex()} already")
    found = await check_marker(backend, marker.store, marker.backend)
    if found.ro_compat & ~KNOWN_RO_COMPAT:
        raise FormatError(
            f"backend {backend.name}: a newer release keeps this one from writing (features "
            f"{found.ro_compat:#x}); upgrade"
        )
    check_encrypted(found, backend.name, encrypted=bool(marker.incompat & ENCRYPTED))
    await backend.put(MARKER_KEY, [data])


def _foreign(backend: Backend, problem: str) -> MarkerError:
    return MarkerError(
        f"backend {backend.name}: it {problem}; check its URL and what is mounted there",
        backend=backend.name,
        key=MARKER_KEY,
    )
