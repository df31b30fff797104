"""An account of the fake MEGA: what the server knows of it, and what happens in it.

The server never learns keys or names. So what stands here for a password is what a client makes of
it when the account is registered, and a node's key and attributes are kept as they came.
"""

import base64
import functools
import hashlib
import itertools
import os
import time
from dataclasses import dataclass, field

import trio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Json = dict[str, object]

MEGA_USER = "ada@example.org"
MEGA_PASSWORD = "mf-test-mega-password-that-no-output-may-hold"
MEGA_CREDENTIALS = {
    "MODELFLOAT_MEGA_USER": MEGA_USER,
    "MODELFLOAT_MEGA_PASSWORD": MEGA_PASSWORD,
}
"""The environment in which the backend logs in as the account of the fixture `mega`."""

FILE, FOLDER, DRIVE, INBOX, BIN = range(5)
ROUNDS = 100_000
QUICK = 1000
"""Rounds where a test is not about logins: the client has to be told."""
RSA_BITS = 2048
SESSION = 43


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """What `b64` made."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def handle() -> str:
    """A new handle of a node: 6 bytes."""
    return b64(os.urandom(6))


@dataclass
class Account:
    """One account; `version` is 2 for one with a salt, 1 for one from before 2018."""

    email: str
    password: str = field(repr=False)
    version: int = 2
    total: int = 20 << 30
    rounds: int = ROUNDS
    blocked: bool = False
    second_factor: bool = False
    user: str = field(default_factory=lambda: b64(os.urandom(8)))
    nodes: dict[str, Json] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    """The encrypted bytes of files, by handle."""
    events: list[Json] = field(default_factory=list)
    happened: trio.Event = field(default_factory=trio.Event)
    drive: str = ""

    def __post_init__(self) -> None:
        self.salt = hashlib.sha256(self.email.encode()).digest()[:16]
        self.master = os.urandom(16)
        self.rsa = _rsa_key()
        for kind in (DRIVE, INBOX, BIN):
            node = {"h": handle(), "p": "", "u": self.user, "t": kind, "a": "", "ts": now()}
            self.nodes[str(node["h"])] = node
            self.drive = self.drive or str(node["h"])
        if self.version == 2:
            derived = _derived(self.password, self.salt, self.rounds)
            self.key, self.proof = derived[:16], b64(derived[16:])
        else:
            self.key = old_key(self.password)
            self.proof = old_proof(self.email, self.key)

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.contents.values()))

    def login(self, sid: bytes) -> Json:
        """What a login is answered with."""
        numbers = self.rsa.private_numbers()
        parts = (numbers.p, numbers.q, numbers.d, pow(numbers.p, -1, numbers.q))
        private = b"".join(map(mpi, parts))
        private += os.urandom(-len(private) % 16)
        public = numbers.public_numbers
        padded = sid + os.urandom(RSA_BITS // 8 - 1 - len(sid))
        wrapped = pow(int.from_bytes(padded, "big"), public.e, public.n)
        return {
            "csid": b64(mpi(wrapped)),
            "k": b64(ecb(self.key, self.master)),
            "privk": b64(ecb(self.master, private)),
            "u": self.user,
            "ach": 1,
        }

    def tell(self, event: Json) -> None:
        """Something happened; whoever waits for that hears of it."""
        self.events.append(event)
        self.happened.set()
        self.happened = trio.Event()

    def below(self, top: str) -> list[str]:
        """A node and all that lies in it."""
        found = [top]
        for each in found:
            found += [h for h, node in self.nodes.items() if node["p"] == each]
        return found


def now() -> int:
    """Unix time in whole seconds, as MEGA dates nodes."""
    return int(time.time())


def mpi(number: int) -> bytes:
    """A number behind its length in bits."""
    bits = number.bit_length()
    return bits.to_bytes(2, "big") + number.to_bytes((bits + 7) // 8, "big")


def ecb(key: bytes, data: bytes) -> bytes:
    """AES of each block by itself."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


def old_key(password: str) -> bytes:
    """The key of an account of version 1."""
    data = password.encode()
    keys = [data[at : at + 16].ljust(16, b"\0") for at in range(0, len(data), 16)]
    ciphers = [Cipher(algorithms.AES(key), modes.ECB()).encryptor() for key in keys]
    found = bytes.fromhex("93C467E37DB0C7A4D1BE3F810152CB56")
    for _, cipher in itertools.product(range(65536), ciphers):
        found = cipher.update(found)
    return found


def old_proof(email: str, key: bytes) -> str:
    """What proves a password in version 1."""
    data = email.encode()
    block = bytearray(16)
    for at, byte in enumerate(data):
        block[at % 16] ^= byte
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    found = bytes(block)
    for _ in range(16384):
        found = cipher.update(found)
    return b64(found[:4] + found[8:12])


@functools.cache
def _derived(password: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    """One for all accounts of a process: making one takes longer than a test."""
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
