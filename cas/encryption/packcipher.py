"""One pack's chunks and chunk table, encrypted: AES-256-GCM (NIST SP 800-38D), by OpenSSL.

A pack's key follows from its id, which is 128 random bits and never used again, and a chunk's nonce
from its slot. So no nonce is used twice under one key, as long as a pack is made once: whoever
writes anything else takes another pack id. What is made again of a pack is made of the same bytes.

CPU work that lets go of the GIL, for worker threads; a cipher may be used by several at once.
"""

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import ChunkDamagedError, ShardDamagedError
from ...ids import PackId
from .keys import derive

_CONTEXT: Final = "modelfloat 2026-11 one pack"
_NONCE: Final = struct.Struct("<I8x")
_TABLE: Final = 0xFFFFFFFF
"""In place of a slot: the chunk table."""

Bytes = bytes | bytearray | memoryview


class PackCipher:
    """Encrypts and decrypts what a pack holds. `key` is the store's for packs."""

    __slots__ = ("_aead", "_pack")

    def __init__(self, key: bytes, pack: PackId) -> None:
        self._aead = AESGCM(derive(key, _CONTEXT, pack))
        self._pack = pack

    def seal(self, slot: int, encoded: Bytes, out: memoryview) -> None:
        """Encrypt the chunk in `slot` into `out`, which is TAG_SIZE bytes longer."""
        self._aead.encrypt_into(_NONCE.pack(slot), encoded, None, out)

    def open(self, slot: int, sealed: Bytes, out: memoryview) -> None:
        """Decrypt the chunk in `slot` into `out`, which is TAG_SIZE bytes shorter and may be the
        beginning of `sealed`; ChunkDamagedError where it is not what was sealed there."""
        try:
            self._aead.decrypt_into(_NONCE.pack(slot), sealed, None, out)
        except InvalidTag:
            raise ChunkDamagedError(
                f"chunk {slot} of pack {self._pack.hex()} is not what was encrypted there"
            ) from None

    def seal_table(self, table: bytes) -> bytes:
        """A chunk table, encrypted; the same one gives the same bytes."""
        return self._aead.encrypt(_NONCE.pack(_TABLE), table, None)

    def open_table(self, sealed: Bytes) -> bytes:
        """The chunk table; ShardDamagedError where it is none of this pack and these keys."""
        try:
            return self._aead.decrypt(_NONCE.pack(_TABLE), bytes(sealed), None)
        except InvalidTag:
            raise ShardDamagedError(
                f"pack {self._pack.hex()}: its chunk table was not encrypted by this store's keys"
            ) from None
