"""How MEGA encrypts: keys, names, contents. Pure.

AES-128 everywhere. A file has a random key and a nonce of 8 bytes. Its bytes are encrypted in
counter mode, the counter being the nonce and then the number of the 16-byte block. It is divided
into chunks of 128 KiB, 256 KiB, … 1 MiB and from then on 1 MiB, each with a CBC-MAC of its plain
bytes; a CBC-MAC of those, folded to 8 bytes, is the file's. Key, nonce and MAC are folded into 32
bytes, the node's key, which is stored encrypted by the account's master key. Source: MEGA,
"Security white paper", and the source of its SDK.
"""

import base64
import binascii
import json
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

BLOCK: Final = 16
CHUNK_STEP: Final = 128 << 10
CHUNK_MOST: Final = 1 << 20
_ZEROS: Final = bytes(BLOCK)
_MAGIC: Final = b"MEGA"
_PIECE: Final = 256 << 10


def encode(data: bytes) -> str:
    """As MEGA writes bytes: base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """What `encode` made, or what the standard alphabet did; ValueError for anything else."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def wrap(secret: bytes, plain: bytes) -> bytes:
    """Keys encrypted by a key, each block by itself; ValueError where they are no whole blocks."""
    return _whole(block_cipher(secret).encryptor(), plain)


def unwrap(secret: bytes, wrapped: bytes) -> bytes:
    """What `wrap` encrypted."""
    return _whole(block_cipher(secret).decryptor(), wrapped)


def block_cipher(secret: bytes) -> Cipher[modes.ECB]:
    """AES of single blocks: what is wrapped by it is random, so equal blocks do not come twice."""
    return Cipher(algorithms.AES(secret), modes.ECB())  # noqa: S305 - MEGA's way, see above


@dataclass(frozen=True, slots=True)
class FileKey:
    """What a file's bytes are encrypted with, and their MAC."""

    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    @classmethod
    def unfold(cls, folded: bytes) -> "FileKey":
        """The parts of a node's key; ValueError unless it has 32 bytes."""
        if len(folded) != 2 * BLOCK:
            raise ValueError(f"a file's key has 32 bytes, not {len(folded)}")
        key = _xor(folded[:BLOCK], folded[BLOCK:])
        return cls(key, folded[BLOCK : BLOCK + 8], folded[BLOCK + 8 :])

    @classmethod
    def fresh(cls) -> "FileKey":
        """A random key and nonce, without a MAC yet."""
        return cls(secrets.token_bytes(BLOCK), secrets.token_bytes(8), b"")

    def fold(self) -> bytes:
        """The node's key."""
        tail = self.nonce + self.mac
        return _xor(self.key, tail) + tail


def seal_attributes(key: bytes, attributes: Mapping[str, object]) -> str:
    """A node's attributes, of which `n` is its name, encrypted by its key."""
    plain = _MAGIC + json.dumps(attributes, separators=(",", ":")).encode()
    plain += bytes(-len(plain) % BLOCK)
    return encode(_whole(Cipher(algorithms.AES(key), modes.CBC(_ZEROS)).encryptor(), plain))


def open_attributes(key: bytes, sealed: str) -> Mapping[str, object]:
    """What `seal_attributes` sealed; ValueError where key and text do not belong together."""
    cipher = Cipher(algorithms.AES(key), modes.CBC(_ZEROS))
    plain = _whole(cipher.decryptor(), decode(sealed))
    if not plain.startswith(_MAGIC + b"{"):
        raise ValueError("not the attributes of this key")
    try:  # what begins with a brace is an object, or none
        return cast("Mapping[str, object]", json.loads(plain[len(_MAGIC) :].rstrip(b"\0")))
    except (ValueError, RecursionError):
        raise ValueError("attributes that are no JSON") from None


def chunks(size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the chunks of a file, in order; an empty file has none."""
    at, length = 0, CHUNK_STEP
    while at < size:
        yield at, min(length, size - at)
        at += length
        length = min(length + CHUNK_STEP, CHUNK_MOST)


def chunk_mac(key: FileKey, plain: memoryview) -> bytes:
    """The CBC-MAC of one chunk, padded with zeros; 16 bytes."""
    mac = _Mac(key.key, key.nonce * 2)
    mac.update(plain)
    return mac.digest()


def condense(key: FileKey, macs: Iterable[bytes]) -> bytes:
    """The MAC of a file, 8 bytes, from those of its chunks in order."""
    whole = _Mac(key.key, _ZEROS)
    for mac in macs:
        whole.update(memoryview(mac))
    digest = whole.digest()
    return _xor(digest[0:4], digest[4:8]) + _xor(digest[8:12], digest[12:16])


def mac_of(key: FileKey, plain: memoryview) -> bytes:
    """The MAC of a file of which all bytes are there."""
    return condense(key, (chunk_mac(key, plain[at : at + n]) for at, n in chunks(len(plain))))


def crypt(key: FileKey, offset: int, data: memoryview) -> None:
    """Encrypt, or decrypt, bytes of a file in place; `offset` is that of the first one."""
    counter = key.nonce + struct.pack(">Q", offset // BLOCK)
    stream = Cipher(algorithms.AES(key.key), modes.CTR(counter)).encryptor()
    stream.update(bytes(offset % BLOCK))
    for at in range(0, len(data), _PIECE):
        data[at : at + _PIECE] = stream.update(bytes(data[at : at + _PIECE]))


class _Mac:
    """A CBC-MAC of whole blocks and, at its end, a piece that is padded with zeros."""

    def __init__(self, key: bytes, start: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
        self._last = _ZEROS
        self._scratch = bytearray(0)

    def update(self, data: memoryview) -> None:
        """More bytes: whole blocks, but for the last piece."""
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            if len(piece) % BLOCK:
                piece = memoryview(bytes(piece) + bytes(-len(piece) % BLOCK))
            if len(self._scratch) < len(piece) + BLOCK:
                self._scratch = bytearray(len(piece) + BLOCK)
            done = self._cipher.update_into(piece, self._scratch)
            self._last = bytes(self._scratch[done - BLOCK : done])

    def digest(self) -> bytes:
        """The last block; zeros where there was none."""
        return self._last


def _whole(cipher: CipherContext, data: bytes) -> bytes:
    if len(data) % BLOCK:
        raise ValueError(f"{len(data)} bytes are no whole blocks")
    return cipher.update(data) + cipher.finalize()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
