"""A whole answer as bytes, for backends whose own way is to fill a buffer."""

from typing import Final

from ..errors import CorruptAnswerError
from ..ids import Key
from .base import Backend

LARGEST: Final = 256 << 20
"""Bytes that are read at once, four times our largest object: room for what a server makes up is
never set aside."""


async def fetch(
    backend: Backend, key: Key, offset: int, size: int | None, most: int | None = None
) -> bytes:
    """`Backend.get` by `head` (only when `size` is None) and `get_into`."""
    if size is None:
        size = rest(backend.name, key, await backend.head(key), offset, most)
    data = bytearray(size)
    await backend.get_into(key, offset, memoryview(data))
    return bytes(data)


def rest(backend: str, key: Key, size: int, offset: int, most: int | None = None) -> int:
    """How many bytes of a value follow `offset`, or `most` and one where more do;
    CorruptAnswerError when it ends before that, or without `most` is larger than anything of
    ours."""
    if offset < 0:
        raise ValueError(f"offset {offset} of {key} is negative")
    if offset > size:
        raise short(backend, key, offset, size)
    if most is not None:
        return min(size - offset, most + 1)
    if size - offset > LARGEST:
        raise CorruptAnswerError(
            f"backend {backend}: {key} is said to have {size} bytes, more than anything here has; "
            "check the server and what stands between",
            backend=backend,
            key=key,
        )
    return size - offset


def short(backend: str, key: Key, wanted: int, size: int) -> CorruptAnswerError:
    """The error for a value that ends at `size` where bytes up to `wanted` were asked for."""
    return CorruptAnswerError(
        f"backend {backend}: {key} ends at byte {size}, {wanted} were expected; run `modelfloat "
        "verify --repair`",
        backend=backend,
        key=key,
    )
