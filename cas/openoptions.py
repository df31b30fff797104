"""What may be asked of a store when it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ids import PublicKey
from .encryption.storecipher import CLEAR, StoreCipher
from .packs.anew import Recreate, Remark, no_marking, no_recreation
from .read.options import ReadOptions
from .read.refetch import FetchRange
from .signing.signer import GetSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """How a store is opened.

    Without `wait` work that meets a lock of another process is LockedError. `reading` says how
    files are read; `fetch` gets bytes from where files came from, for what is lost; `cipher` is
    how the store is encrypted, if it is. `signing` gets what changes of refs are signed by. With
    `trusted` keys, and their names, only refs are shown that one of them signed; the others are
    SignatureError. `recreate` and `remark` make a lost backend, and a lost marker, anew.
    """

    wait: bool = True
    reading: ReadOptions = field(default_factory=ReadOptions)
    fetch: FetchRange | None = None
    cipher: StoreCipher = CLEAR
    signing: GetSigner | None = None
    trusted: Mapping[PublicKey, str] | None = None
    recreate: Recreate = no_recreation
    remark: Remark = no_marking
