"""What may be asked of a store when it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ids import PublicKey
from .encryption.storecipher import CLEAR, StoreCipher
from .packs.anew import Recreate, Remark, no_marking, no_recreation
from .read.options import ReadOptions
from .read.refetch import FetchRange
from .signing.signer import GetSigner


@dataclass(frozen=True, slots=True)
class Trusting:
    """Which `keys` are trusted, with their names, and the `folder` that keeps what was seen."""

    keys: Mapping[PublicKey, str]
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How a store is opened.

    Without `wait` work that meets a lock of another process is LockedError. `reading` says how
    files are read; `fetch` gets bytes from where files came from, for what is lost; `cipher` is
    how the store is encrypted, if it is. `signing` gets what changes of refs are signed by. With
    `trusting` only refs are shown that a trusted key signed; the others are SignatureError.
    `recreate` and `remark` make a lost backend, and a lost marker, anew.
    """

    wait: bool = True
    reading: ReadOptions = field(default_factory=ReadOptions)
    fetch: FetchRange | None = None
    cipher: StoreCipher = CLEAR
    signing: GetSigner | None = None
    trusting: Trusting | None = None
    recreate: Recreate = no_recreation
    remark: Remark = no_marking
