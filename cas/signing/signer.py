"""Signing: ref changes by a private key, and whether a signature is right. ed25519, RFC 8032."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ...errors import UnsupportedError
from ...ids import PublicKey, StoreId
from ..formats.journal import RefChanged, encode_unsigned
from ..formats.refsignature import RefSignature, signed_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

YEAR: Final = 366 * 86_400 * 10**9
"""Nanoseconds: a change that is so far ahead of our clock was dated by nobody honest, and would
have all later ones dated so too."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs ref changes; `key` is what its signatures are known by."""

    key: PublicKey
    private: "Ed25519PrivateKey" = field(repr=False)

    @classmethod
    def of(cls, private: "Ed25519PrivateKey") -> "Signer":
        """The signer of a private key."""
        return cls(PublicKey(private.public_key().public_bytes_raw()), private)

    def sign(self, store: StoreId, change: RefChanged) -> RefChanged:
        """`change` of a ref of that store, signed as it is."""
        text = signed_text(store, encode_unsigned(change))
        signature = RefSignature(self.key, self.private.sign(text))
        return replace(change, signature=signature)

    def sign_after(self, store: StoreId, change: RefChanged, last_ns: int) -> RefChanged:
        """`change` signed, and dated later than `last_ns`, when the latest change was that is known
        here: so of two signed changes of a ref the later one has the later time, whatever the
        clocks of those who made them say."""
        now = time.time_ns()
        own = change.time_ns if change.time_ns <= now + YEAR else now
        after = min(last_ns, now + YEAR)
        return self.sign(store, replace(change, time_ns=max(own, after + 1)))


GetSigner = Callable[[], Signer]
"""Gets a signer: its file is read when something is to be signed, and no earlier. It may block."""


def is_right(store: StoreId, change: RefChanged) -> bool:
    """Whether a change of a ref of that store is signed, and by the key that it names.

    UnsupportedError without the library that tells.
    """
    if change.signature is None:
        return False
    require_library()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(change.signature.key)
        public.verify(change.signature.signature, signed_text(store, encode_unsigned(change)))
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.cache
def require_library() -> None:
    """UnsupportedError where the library is missing that signs and checks."""
    try:
        import cryptography  # noqa: F401 - missing where the extra is not installed
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"signatures need {error.name}: run `pip install 'modelfloat[signing]'`"
        ) from None
