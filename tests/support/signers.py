"""Signing keys for tests, always the same, and what they sign."""

from dataclasses import replace
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modelfloat.cas.formats.journal import Record, RefChanged
from modelfloat.cas.signing.signer import Signer
from modelfloat.tests.support import samples


@cache
def signer(number: int) -> Signer:
    """The signer of that number, 0 to 255."""
    return Signer.of(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def signed_record() -> Record:
    """The ref changes of the sample record, the later one signed."""
    before, later = (e for e in samples.record().entries if isinstance(e, RefChanged))
    return replace(samples.record(), entries=(before, signer(1).sign(samples.STORE, later)))
