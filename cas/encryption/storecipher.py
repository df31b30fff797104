"""How a store keeps its contents: in the clear, encrypted, or encrypted with the key not at hand.

Without the key shards can still be checked, moved and made again, for their checksums are of what
is stored; what says what is in them cannot be read.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...errors import KEY_NEEDED, KeyNeededError, UnsupportedError
from ...ids import PackId
from ..formats.chunkids import PLAIN as PLAIN_IDS
from ..formats.chunkids import ChunkIds
from ..formats.chunktable import TAG_SIZE
from .keys import StoreKeys

if TYPE_CHECKING:
    from .entryseal import EntrySeal
    from .packcipher import PackCipher


@dataclass(frozen=True, slots=True)
class StoreCipher:
    """What names chunks and encrypts packs and records of one store; use `cipher_of`.

    Of a store in the clear `encrypted` is False, and there is nothing to encrypt with.
    """

    encrypted: bool
    ids: ChunkIds
    keys: StoreKeys | None = field(repr=False)

    @property
    def locked(self) -> bool:
        """Whether what is stored cannot be read: the store is encrypted, and its key not here."""
        return self.encrypted and self.keys is None

    @property
    def overhead(self) -> int:
        """Bytes that a chunk takes besides those that its codec made."""
        return TAG_SIZE if self.encrypted else 0

    def pack(self, pack: PackId) -> "PackCipher | None":
        """What encrypts that pack, None in a store in the clear; KeyNeededError without the key."""
        if not self.encrypted:
            return None
        from .packcipher import PackCipher

        return PackCipher(self._held().packs, pack)

    def open_table(self, pack: PackId, sealed: bytes) -> bytes | None:
        """A pack's chunk table in the clear, None without the key; ShardDamagedError where it is
        none of that pack and these keys."""
        cipher = None if self.locked else self.pack(pack)
        return None if cipher is None else cipher.open_table(sealed)

    @property
    def entries(self) -> "EntrySeal | None":
        """What encrypts entries of records; as `pack`."""
        if not self.encrypted:
            return None
        from .entryseal import EntrySeal

        return EntrySeal(self._held().records)

    def require(self) -> None:
        """KeyNeededError where the store is encrypted and its key is not there: for work that would
        end so in the middle."""
        if self.locked:
            raise KeyNeededError(KEY_NEEDED)

    def _held(self) -> StoreKeys:
        if self.keys is None:
            raise KeyNeededError(KEY_NEEDED)
        return self.keys


CLEAR: Final = StoreCipher(False, PLAIN_IDS, None)
"""Of stores that are not encrypted."""
LOCKED: Final = StoreCipher(True, ChunkIds(locked=True), None)
"""Of encrypted stores whose key is not at hand."""


def cipher_of(keys: StoreKeys | None, *, encrypted: bool) -> StoreCipher:
    """What a store uses that is `encrypted` or not; `keys` are None where they are not at hand.

    UnsupportedError where the library lacks that does it.
    """
    if not encrypted:
        return CLEAR
    try:
        import cryptography  # noqa: F401 - missing where the extra is not installed
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"an encrypted store needs {error.name}: run `pip install 'modelfloat[encryption]'`"
        ) from None
    return LOCKED if keys is None else StoreCipher(True, ChunkIds(keys.chunk_ids), keys)
