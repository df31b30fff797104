"""The safetensors format: a JSON header, then the tensors end to end.

Format: https://github.com/huggingface/safetensors#format. The file begins with the header's length
N (u64, little-endian) and N bytes of JSON: each tensor's name, dtype, shape and `data_offsets`,
which count from the end of the header; besides those only `__metadata__`, a map of strings.
"""

import logging
import struct
from typing import Any, Final

from .jsonmembers import load_object, members
from .parser import Source
from .regions import ElementType, Region, covers, product
from .room import Room

HEADER_LIMIT: Final = 100_000_000
"""Longest header in bytes; the format's own limit."""
TENSOR_LIMIT: Final = 1 << 18
"""Most tensors in a file; ten times what the largest models have."""
NAME_LIMIT: Final = 4096
"""Longest tensor name, bytes of JSON."""
INFO_LIMIT: Final = 4096
"""Longest description of a tensor, bytes of JSON."""

_LENGTH: Final = struct.Struct("<Q")
_LOG: Final = logging.getLogger(__name__)
# The format's names of types are ours, for all that it has.
_DTYPES: Final = {
    element.name: element
    for element in ElementType
    if ElementType.BOOL <= element <= ElementType.F6_E3M2
}


class SafetensorsParser:
    """Finds the header and the tensors of a safetensors file."""

    name = "safetensors"

    def suits(self, file_name: str, head: bytes) -> bool:
        """By its name, or because it begins with a plausible length and a JSON object."""
        if file_name.lower().endswith(".safetensors"):
            return True
        return head[8:10] == b'{"' and _LENGTH.unpack_from(head)[0] <= HEADER_LIMIT

    def parse(self, source: Source) -> list[Region] | None:
        """The header, then each tensor; None unless together they are exactly the file."""
        header = _read_header(source)
        if header is None:
            return None
        start = _LENGTH.size + len(header)
        try:
            tensors = _tensors(header, start, source.size)
        except ValueError as error:
            _LOG.debug("a malformed safetensors header, cut as unknown bytes: %s", error)
            return None
        tensors.sort(key=lambda region: region.offset)
        regions = [Region(0, start, ElementType.BYTES), *tensors]
        if not covers(regions, source.size):
            _LOG.debug("safetensors with gaps or overlaps, cut as unknown bytes")
            return None
        return regions


def _read_header(source: Source) -> bytes | None:
    room = source.size - _LENGTH.size
    if room < 0:
        return None
    (length,) = _LENGTH.unpack(source.read(0, _LENGTH.size))
    if length > min(room, HEADER_LIMIT):
        _LOG.debug("a safetensors header of %d bytes, cut as unknown bytes", length)
        return None
    return source.read(_LENGTH.size, length)


def _tensors(header: bytes, start: int, end: int) -> list[Region]:
    """Every tensor with bytes in the file, in the header's order. ValueError when malformed."""
    room = Room.of(end)
    room.take(len(header))
    regions: list[Region] = []
    for name, text in members(header, NAME_LIMIT):
        if name == "__metadata__":
            continue
        if len(text) > INFO_LIMIT or len(regions) == TENSOR_LIMIT:
            raise ValueError("a header beyond our limits")
        region = _tensor(name, load_object(text), start, end)
        room.keep(name, region.shape)
        if region.size:
            regions.append(region)
    return regions


def _tensor(name: str, info: dict[str, Any], start: int, end: int) -> Region:
    begin, stop = _integers(info.get("data_offsets"), 2)
    shape = _integers(info.get("shape"))
    dtype = info.get("dtype")
    if not begin <= stop <= end - start or not isinstance(dtype, str):
        raise ValueError(f"tensor {name!r} lies outside the file, or has no dtype")
    size = stop - begin
    # A dtype that is newer than this release still tells where its tensors begin.
    element = _DTYPES.get(dtype, ElementType.UNKNOWN)
    if element is not ElementType.UNKNOWN and not _fits(element, shape, size):
        raise ValueError(f"the shape of tensor {name!r} does not fit its {size} bytes")
    return Region(start + begin, size, element, name, shape)


def _fits(element: ElementType, shape: tuple[int, ...], size: int) -> bool:
    block = element.block
    return product(shape, 8 * size) * block.bytes == size * block.elements


def _integers(value: object, count: int | None = None) -> tuple[int, ...]:
    """A list of `count` numbers ≥ 0. Neither 1.0 nor true is one, though Python thinks so."""
    if not isinstance(value, list) or count not in (None, len(value)):
        raise ValueError("no list of numbers where one belongs")
    if not all(type(number) is int and number >= 0 for number in value):
        raise ValueError("something that is no number ≥ 0")
    return tuple(value)
