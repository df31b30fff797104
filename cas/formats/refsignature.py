"""The signature of a ref change: who vouches for it. `docs/format.md`, Signed ref changes.

Signatures are ed25519 (RFC 8032). Nothing is signed or checked here: that takes a library, and is
`cas.signing`'s.
"""

import struct
from dataclasses import dataclass
from typing import Final

from ...ids import PublicKey, StoreId

PUBLIC_SIZE: Final = 32
SIGNED_SIZE: Final = 64
_SIGNATURE: Final = struct.Struct(f"<{PUBLIC_SIZE}s{SIGNED_SIZE}s")
SIZE: Final = _SIGNATURE.size
"""Bytes of a signature behind the change that it is of."""
_WHAT: Final = b"modelfloat 2026-11 ref changed\0"
"""What a signed text begins with: whatever else the key may sign is no ref change."""


@dataclass(frozen=True, slots=True)
class RefSignature:
    """A public key, and the signature by its private one of `signed_text`."""

    key: PublicKey
    signature: bytes

    def encode(self) -> bytes:
        """Its bytes, behind those of the change."""
        return _SIGNATURE.pack(self.key, self.signature)

    @classmethod
    def decode(cls, data: bytes) -> "RefSignature":
        """A signature from its bytes; struct.error where they are none."""
        key, signature = _SIGNATURE.unpack(data)
        return cls(PublicKey(key), signature)


def signed_text(store: StoreId, change: bytes) -> bytes:
    """What is signed: that the store changes a ref so, `change` being its bytes unsigned.

    So a signature is of one store, ref, commit, time and change before, and of no other.
    """
    return _WHAT + store + change
