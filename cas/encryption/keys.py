"""The keys of an encrypted store, all derived from one. `docs/format.md`, Encryption.

Derived as BLAKE3 says (its paper, section 2.3): a context string for each purpose, so that no two
purposes ever share a key, and a key that comes out tells nothing of the master.
"""

import secrets
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

KEY_SIZE: Final = 32
"""Bytes of every key."""

_CHUNK_IDS: Final = "modelfloat 2026-11 chunk ids"
_PACKS: Final = "modelfloat 2026-11 packs"
_RECORDS: Final = "modelfloat 2026-11 journal records"
_KEYRING: Final = "modelfloat 2026-11 keyring"


def random_master() -> bytes:
    """A fresh master key, from the system's random source."""
    return secrets.token_bytes(KEY_SIZE)


@dataclass(frozen=True, slots=True)
class StoreKeys:
    """The keys of one store, 32 bytes each; never shown by `repr`.

    `chunk_ids` keys the BLAKE3 that names chunks, from `packs` every pack's own key is derived,
    and from `records` those of the journal's entries; `keyring` seals what keyrings say.
    """

    chunk_ids: bytes = field(repr=False)
    packs: bytes = field(repr=False)
    records: bytes = field(repr=False)
    keyring: bytes = field(repr=False)

    @classmethod
    def from_master(cls, master: bytes) -> "StoreKeys":
        """The keys that follow from the master key; ValueError unless it has 32 bytes."""
        if len(master) != KEY_SIZE:
            raise ValueError(f"a master key of {len(master)} bytes")
        return cls(
            *(derive(master, purpose) for purpose in (_CHUNK_IDS, _PACKS, _RECORDS, _KEYRING))
        )


def derive(key: bytes, context: str, of: bytes = b"") -> bytes:
    """The key for what `context` names, and in it for the thing `of`: 32 bytes."""
    return blake3(key + of, derive_key_context=context).digest()
