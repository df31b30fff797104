"""Content identifiers of IPFS: what a block is called there.

A CID of version 1 is the numbers 1, codec and hash function, the digest's length and the digest,
numbers as varints; as text the letter `b` and the lower-case base 32 of that. One of version 0 is
a SHA-256 multihash alone, in base 58. Source: the CID and multihash specifications of Multiformats
(github.com/multiformats/cid), the numbers from its table of codecs.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

RAW: Final = 0x55
DAG_PB: Final = 0x70
IDENTITY: Final = 0x00
SHA2_256: Final = 0x12
BLAKE3: Final = 0x1E
DIGEST: Final = 32
"""Bytes of a digest of either function."""
LONGEST: Final = 128
"""Letters of the longest text, and bytes of the longest identity, that is looked at."""
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MOST: Final = 63
"""Bits of the largest number (the specification's limit of nine bytes)."""


@dataclass(frozen=True, slots=True)
class Cid:
    """A codec, a hash function and a digest; two of one block and different versions differ."""

    codec: int
    function: int
    digest: bytes
    version: int = 1

    def __bytes__(self) -> bytes:
        hashed = varint(self.function) + varint(len(self.digest)) + self.digest
        return hashed if self.version == 0 else varint(1) + varint(self.codec) + hashed

    def __str__(self) -> str:
        if self.version == 0:
            return _to_base58(bytes(self))
        return "b" + base64.b32encode(bytes(self)).decode().rstrip("=").lower()

    def names(self, block: bytes | bytearray | memoryview) -> bool:
        """Whether `block` is what this CID names; False where the function is none of ours."""
        if self.function == BLAKE3:
            return blake3(block).digest() == self.digest
        if self.function == SHA2_256:
            return hashlib.sha256(block).digest() == self.digest
        return self.function == IDENTITY and self.digest == block


def raw_cid(digest: bytes) -> Cid:
    """The CID of the bytes whose BLAKE3 is `digest`."""
    return Cid(RAW, BLAKE3, digest)


def cid_of(block: bytes | bytearray | memoryview, codec: int = RAW) -> Cid:
    """The CID of a block, by BLAKE3."""
    return Cid(codec, BLAKE3, blake3(block).digest())


def parse_cid(text: str) -> Cid:
    """A CID as people write it, in base 32, in base 58 (`z`, as js-ipfs does) or of version 0;
    ValueError where it is none of these."""
    if len(text) > LONGEST:
        raise ValueError("no CID is as long")
    if len(text) == 46 and text.startswith("Qm"):
        return decode_cid(_from_base58(text))
    if text.startswith("z"):
        return decode_cid(_from_base58(text[1:]))
    if not text.startswith("b") or text != text.lower():
        raise ValueError("it is no CID in base 32")
    padded = text[1:].upper() + "=" * (-(len(text) - 1) % 8)
    try:
        return decode_cid(base64.b32decode(padded))
    except binascii.Error:
        raise ValueError("it is no CID in base 32") from None


def decode_cid(data: bytes) -> Cid:
    """The CID in `data`, all of it; ValueError where it is none, or one of a function not known."""
    version, at = 0, 0
    codec = DAG_PB
    if data[:2] != bytes([SHA2_256, DIGEST]):
        version, at = read_varint(data, 0)
        codec, at = read_varint(data, at)
        if version != 1:
            raise ValueError(f"it is a CID of version {version}")
    function, at = read_varint(data, at)
    length, at = read_varint(data, at)
    digest = bytes(data[at:])
    if len(digest) != length or length > LONGEST:
        raise ValueError("its digest is cut short, or is too long")
    if function != IDENTITY and (function not in (SHA2_256, BLAKE3) or length != DIGEST):
        raise ValueError(f"its hash function {function:#x} is not known here")
    return Cid(codec, function, digest, version)


def varint(number: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends; ValueError where none does."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > _MOST:
            raise ValueError("a number is cut short, or is too large")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def _to_base58(data: bytes) -> str:
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        letters = _BASE58[rest] + letters
    return letters


def _from_base58(text: str) -> bytes:
    number = 0
    for letter in text:
        digit = _BASE58.find(letter)
        if digit < 0:
            raise ValueError("it is no CID in base 58")
        number = number * 58 + digit
    return number.to_bytes(-(-number.bit_length() // 8), "big")  # none begins with a zero
