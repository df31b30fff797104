"""SHA-256 of files as they are added, and whether it is the one that was expected.

Hugging Face names its large files by their SHA-256, so stores that deal with it keep it beside the
BLAKE3. Hashing lets go of the GIL; it runs in a thread beside the one that cuts.
"""

import hashlib
import os
from typing import TYPE_CHECKING, Final

from ...errors import SourceDamagedError
from ..formats.manifest import TAG_SHA256
from .request import AddRequest
from .scan import Item

if TYPE_CHECKING:
    from hashlib import _Hash

SHOWN: Final = 16


class Sha256:
    """One file's SHA-256 in the making; nothing is hashed where nobody wants it."""

    def __init__(self, request: AddRequest, item: Item) -> None:
        expect = request.expected_sha256
        self._expected = None if expect is None else expect(item.source)
        self._name = os.fsdecode(item.source)
        wanted = request.hashes_sha256 or self._expected is not None
        self._hash: _Hash | None = hashlib.sha256() if wanted else None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to hash."""
        return self._hash is not None

    def update(self, data: memoryview | bytes) -> None:
        """The file's next bytes."""
        if self._hash is not None:
            self._hash.update(data)

    def extensions(self) -> dict[int, bytes]:
        """What goes into the manifest; SourceDamagedError where another hash was expected."""
        if self._hash is None:
            return {}
        check_sha256(self._name, self._hash.digest(), self._expected)
        return {TAG_SHA256: self._hash.digest()}


def check_sha256(name: str, found: bytes, expected: bytes | None) -> None:
    """SourceDamagedError where a file's SHA-256 is not the one that was expected, if any was."""
    if expected is not None and found != expected:
        raise SourceDamagedError(
            f"{name} has the SHA-256 {found.hex()[:SHOWN]}…, expected is "
            f"{expected.hex()[:SHOWN]}…: it is damaged or incomplete; download it again"
        )
