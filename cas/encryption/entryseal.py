"""Entries of journal records, encrypted: they name repositories, branches and chunks.

The key of an entry follows from all of it and its place (the synthetic IV of RFC 5297, with a key
in place of an IV): so a record is the same whenever it is encoded, no two entries share a key, and
one that was moved to another place, or record, is found out.
"""

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keys import KEY_SIZE, derive

_SALT: Final = "modelfloat 2026-11 what an entry says, and where"
_KEY: Final = "modelfloat 2026-11 one entry"
_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class EntrySeal:
    """Encrypts and decrypts entries; `key` is the store's for records."""

    key: bytes = field(repr=False)

    def seal(self, where: bytes, entry: bytes) -> bytes:
        """An entry's bytes encrypted, for a place: `where` has one length for all of them."""
        salt = self._salt(where, entry)
        return salt + self._aead(salt).encrypt(_NONCE, entry, where)

    def open(self, where: bytes, sealed: bytes) -> bytes:
        """An entry's bytes; ValueError where they were not encrypted so for that place."""
        salt, body = sealed[:KEY_SIZE], sealed[KEY_SIZE:]
        try:
            entry = self._aead(salt).decrypt(_NONCE, body, where)
        except InvalidTag:
            raise ValueError("an entry was not encrypted by this store's keys") from None
        if self._salt(where, entry) != salt:
            raise ValueError("an entry contradicts its key")
        return entry

    def _salt(self, where: bytes, entry: bytes) -> bytes:
        return derive(self.key, _SALT, where + entry)

    def _aead(self, salt: bytes) -> AESGCM:
        return AESGCM(derive(self.key, _KEY, salt))
