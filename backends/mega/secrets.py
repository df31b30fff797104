"""From a password to a session: what MEGA's login computes. Pure, and slow on purpose.

Accounts of version 2 have a salt: PBKDF2-HMAC-SHA-512 of the password, 100,000 rounds, gives a key
and a proof of 16 bytes each. Those of version 1 (before 2018) have none: both come from AES, 65,536
and 16,384 times over. The answer to a login has the master key, encrypted by that key, an RSA
private key, encrypted by the master key, and the session id, encrypted for it.
Source: MEGA, "Security white paper", and the source of its SDK.

A server that is busy asks for work first (HTTP 402, `X-Hashcash`): a prefix of 4 bytes so that the
SHA-256 of it and 262,144 times the token is small enough.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .ciphers import BLOCK, block_cipher, decode, encode, unwrap

ROUNDS_V2: Final = 100_000
ROUNDS_V1: Final = 0x10000
ROUNDS_HASH: Final = 0x4000
_FIRST_V1: Final = bytes.fromhex("93c467e37db0c7a4d1be3f810152cb56")
_SESSION: Final = 43
"""Bytes of a session id."""
_LONGEST_MPI: Final = 8192 // 8
_TIMES: Final = 262_144
_TOKEN: Final = 48
_MOST_TRIES: Final = 1 << 18
"""Tries that work may take on average: minutes."""


@dataclass(frozen=True, slots=True)
class PasswordKeys:
    """What a password gives: the key that unwraps the master key, and what proves it to MEGA."""

    key: bytes = field(repr=False)
    proof: str = field(repr=False)


def password_keys(version: int, email: str, password: str, salt: bytes) -> PasswordKeys:
    """The keys of an account; ValueError for a version that nobody knows."""
    if version == 2:
        derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS_V2, 2 * BLOCK)
        return PasswordKeys(derived[:BLOCK], encode(derived[BLOCK:]))
    if version == 1:
        key = _old_key(password.encode())
        return PasswordKeys(key, _old_proof(email.lower().encode(), key))
    raise ValueError(f"accounts of version {version} are not known here")


def session_id(master: bytes, private: str, wrapped: str) -> str:
    """The session id that a login answers with; ValueError where it is none of this key."""
    first, second, exponent = _integers(unwrap(master, _blocks(decode(private))), 3)
    (encrypted,) = _integers(decode(wrapped), 1)
    modulus = first * second
    if modulus < 2 or not 0 < encrypted < modulus:
        raise ValueError("a session id for another key")
    plain = pow(encrypted, exponent, modulus)
    return encode(plain.to_bytes((modulus.bit_length() + 7) // 8, "big").lstrip(b"\0")[:_SESSION])


def solve(challenge: str, wanted: Callable[[], bool]) -> str:
    """The work for a challenge, as its header wants it; "" once nobody wants it any more.

    ValueError for a challenge of another kind, or for more work than a login is worth.
    """
    version, easiness, token = _challenge(challenge)
    threshold = ((easiness & 63) * 2 + 1) << ((easiness >> 6) * 7 + 3)
    if (1 << 32) // threshold > _MOST_TRIES:
        raise ValueError("it asks for more work than a login is worth")
    data = bytearray(4) + decode(token) * _TIMES
    for prefix in range(1 << 32):
        if not wanted():
            break
        struct.pack_into("<I", data, 0, prefix)
        if struct.unpack_from(">I", hashlib.sha256(data).digest())[0] <= threshold:
            return f"{version}:{token}:{encode(bytes(data[:4]))}"
    return ""


def _challenge(text: str) -> tuple[int, int, str]:
    """Version, easiness and token of a challenge."""
    parts = text.split(":")
    if len(parts) != 4 or parts[0] != "1" or not parts[1].isdecimal() or int(parts[1]) > 255:
        raise ValueError("a challenge of another kind")
    if len(decode(parts[3])) != _TOKEN:
        raise ValueError("a challenge of another length")
    return 1, int(parts[1]), parts[3]


def _old_key(password: bytes) -> bytes:
    """AES by 16 bytes of the password after the other, again and again."""
    padded = password + bytes(-len(password) % BLOCK)
    ciphers = [
        block_cipher(padded[at : at + BLOCK]).encryptor() for at in range(0, len(padded), BLOCK)
    ]
    key = _FIRST_V1
    for _ in range(ROUNDS_V1):
        for cipher in ciphers:
            key = cipher.update(key)
    return key


def _old_proof(email: bytes, key: bytes) -> str:
    """The address, folded to a block, encrypted again and again; half of that."""
    padded = email + bytes(-len(email) % BLOCK)
    block = bytes(BLOCK)
    for at in range(0, len(padded), BLOCK):
        block = bytes(a ^ b for a, b in zip(block, padded[at : at + BLOCK], strict=True))
    cipher = block_cipher(key).encryptor()
    for _ in range(ROUNDS_HASH):
        block = cipher.update(block)
    return encode(block[0:4] + block[8:12])


def _blocks(data: bytes) -> bytes:
    """Padded to whole blocks, which some old accounts' private keys are not."""
    return data + bytes(-len(data) % BLOCK)


def _integers(data: bytes, count: int) -> list[int]:
    """Numbers, each behind its length in bits (2 bytes), most significant byte first."""
    found: list[int] = []
    for _ in range(count):
        if len(data) < 2:
            raise ValueError("a number is missing")
        length = (struct.unpack(">H", data[:2])[0] + 7) // 8
        if not 0 < length <= min(_LONGEST_MPI, len(data) - 2):
            raise ValueError("a number is cut short")
        found.append(int.from_bytes(data[2 : 2 + length], "big"))
        data = data[2 + length :]
    return found
