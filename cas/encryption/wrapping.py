"""The master key wrapped by a secret, and unwrapped: Argon2id, then AES-256-GCM.

A passphrase is guessed by trying: Argon2id (RFC 9106) makes each try dear in time and memory. Key
files go the same way, for nobody knows how random somebody's file is; only of those that show to be
nothing but random bytes a try costs next to nothing, for there are too many to try. A wrapped key
is bound to its store and to all that its slot says, so that no slot can be moved or changed.
"""

import secrets
from typing import Final

from ...errors import FormatError, UnsupportedError
from ...ids import StoreId
from ..formats.keyring import (
    ID_SIZE,
    NONCE_SIZE,
    SALT_SIZE,
    Cost,
    KeySlot,
    SlotKind,
    slot_binding,
)
from .keys import KEY_SIZE
from .secrets import Secret

RECOMMENDED: Final = Cost(3, 64 << 10, 4)
"""64 MiB, three passes, four lanes: RFC 9106, section 4, the second recommended option, which is
for machines that cannot spare 2 GiB. It is what small servers and containers have too."""
TRIFLING: Final = Cost(1, 8, 1)
"""The least that Argon2id can cost (RFC 9106, section 3.1): of a secret that nobody can guess."""
MOST_MEMORY: Final = 1 << 20
"""KiB that a record may ask for: one GiB,"""
MOST_WORK: Final = 4 << 20
"""and KiB times passes: some seconds. Records come from places that nobody trusts."""
MOST_LANES: Final = 64


def check_cost(cost: Cost, what: str) -> None:
    """FormatError where opening `what` would take more than any record may ask for."""
    fair = 1 <= cost.lanes <= MOST_LANES and 8 * cost.lanes <= cost.memory <= MOST_MEMORY
    if not fair or not 1 <= cost.iterations * cost.memory <= MOST_WORK:
        raise FormatError(
            f"{what} asks for {cost.memory} KiB and {cost.iterations} passes of Argon2id: no "
            "release writes that; it is damaged or forged"
        )


def cost_of(secret: Secret) -> Cost:
    """What each try to guess a secret is to cost."""
    return TRIFLING if secret.random else RECOMMENDED


def wrap(store: StoreId, master: bytes, secret: Secret, cost: Cost | None = None) -> KeySlot:
    """A slot that `secret` opens; takes the time and memory that `cost` says, or what is right for
    the secret. ValueError for that of a recovery sheet: it is the master key."""
    if secret.kind is None:
        raise ValueError("a recovery sheet wraps nothing")
    cost = cost or cost_of(secret)
    made = KeySlot(
        secrets.token_bytes(ID_SIZE),
        SlotKind(secret.kind),
        cost,
        secrets.token_bytes(SALT_SIZE),
        secrets.token_bytes(NONCE_SIZE),
    )
    sealed = seal(_stretched(made, secret), made.nonce, master, slot_binding(store, made))
    return KeySlot(made.id, made.kind, cost, made.salt, made.nonce, sealed)


def unwrap(store: StoreId, slot: KeySlot, secret: Secret, what: str) -> bytes | None:
    """The master key, None where `secret` does not open this slot; `what` names the keyring."""
    check_cost(slot.cost, what)
    return unseal(_stretched(slot, secret), slot.nonce, slot.wrapped, slot_binding(store, slot))


def seal(key: bytes, nonce: bytes, text: bytes, bound: bytes) -> bytes:
    """AES-256-GCM of `text`, bound to what stands beside it; the tag comes last."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise _missing(error) from None
    return AESGCM(key).encrypt(nonce, text, bound)


def unseal(key: bytes, nonce: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """What was sealed; None where the key is not right, or anything was changed."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise _missing(error) from None
    try:
        return AESGCM(key).decrypt(nonce, sealed, bound)
    except InvalidTag:
        return None


def _stretched(slot: KeySlot, secret: Secret) -> bytes:
    """The key that a secret gives for a slot, 32 bytes."""
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ImportError as error:
        raise _missing(error) from None
    cost = slot.cost
    try:
        return Argon2id(
            salt=slot.salt,
            length=KEY_SIZE,
            iterations=cost.iterations,
            lanes=cost.lanes,
            memory_cost=cost.memory,
        ).derive(secret.data)
    except MemoryError as error:
        raise UnsupportedError(
            f"{secret.source} cannot be tried: that takes {cost.memory >> 10} MiB of memory, and "
            "there is not so much"
        ) from error


def _missing(error: ImportError) -> UnsupportedError:
    return UnsupportedError(
        f"an encrypted store needs {error.name}: run `pip install 'modelfloat[encryption]'`"
    )
