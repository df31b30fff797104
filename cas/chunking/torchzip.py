"""PyTorch's file format: a zip archive of storages, and a pickle that says which tensors they hold.

Format: torch/serialization.py and caffe2/serialize/inline_container.h of
https://github.com/pytorch/pytorch. Below one folder, whatever it is called: `data.pkl` and the
storages `data/0`, `data/1`, …, uncompressed; in TorchScript archives `constants.pkl` and
`constants/…` as well. `byteorder`, where there is one, is `little` or `big`. The pickle
is read, and never executed: what it says is a hint to where tensors begin and what their bytes are.
Where it is wrong, chunks are less alike, and no byte is lost.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from sys import getsizeof
from typing import Final

from ..formats.regiontable import BETWEEN_NAMES, NAME_SIZE
from .parser import Source
from .regions import ElementType, Region
from .room import TENSOR_SIZE, Room
from .torchtensors import Found, Storage, Tensor, find_tensors
from .zipdirectory import Entry, Member

PICKLE_LIMIT: Final = 24 << 20
"""Longest pickle that is read, in bytes; some 300 describe a tensor."""

_PARTS: Final = {"data": "", "constants": "constants"}
"""Pickles, and what the names of their tensors begin with."""
_NOTHING: Final = Found([], [])
_LOG: Final = logging.getLogger(__name__)


def is_torch(entries: Iterable[Entry]) -> bool:
    """Whether an archive of these members is PyTorch's."""
    return any(
        entry.name.endswith(b"/data.pkl") and entry.name.count(b"/") == 1 for entry in entries
    )


def torch_regions(source: Source, members: list[Member], room: Room) -> Iterator[Region]:
    """What the storages consist of, in file order: tensors, and what of a storage none covers."""
    by_name = {member.name: member for member in members}
    folder = next(n for n in by_name if n.endswith("/data.pkl") and n.count("/") == 1)[:-8]
    swapped = _read(source, by_name.get(f"{folder}byteorder"), 8).strip() == b"big"
    parts: dict[str, _Part] = {}
    for name, prefix in _PARTS.items():
        pickle = by_name.get(f"{folder}{name}.pkl")
        parts[folder + name] = _Part(_read_pickle(source, pickle, room), prefix, room)
    for member in members:
        head, _, key = member.name.rpartition("/")
        part = parts.get(head)
        if part is not None and member.stored and member.size:
            for region in part.regions(key, member):
                room.take(TENSOR_SIZE // 2 + getsizeof(region.name))
                yield region if not swapped else _untyped(region)


def _read_pickle(source: Source, member: Member | None, room: Room) -> bytes:
    """The pickle of a part of the archive; none where there is none that can be read."""
    pickle = _read(source, member, PICKLE_LIMIT)
    if not pickle and member is not None and member.name.endswith("/data.pkl"):
        _LOG.debug("without data.pkl nothing tells the tensors: storages are unknown bytes")
    room.take(len(pickle))
    return pickle


def _read(source: Source, member: Member | None, limit: int) -> bytes:
    """The bytes of a member; none where it is missing, compressed, or longer than `limit`."""
    if member is None:
        return b""
    if not member.stored or member.size > limit:
        how = f"of {member.size:,} bytes" if member.stored else "compressed"
        _LOG.debug("member %r is %s, and not read", member.name, how)
        return b""
    return source.read(member.offset, member.size)


def _untyped(region: Region) -> Region:
    """A region of elements in the byte order that no codec knows."""
    return Region(region.offset, region.size, ElementType.UNKNOWN, region.name, region.shape)


class _Part:
    """A pickle and what it says of the storages in the folder beside it."""

    def __init__(self, pickle: bytes, prefix: str, room: Room) -> None:
        found = find_tensors(pickle, room, prefix) if pickle else _NOTHING
        self._storages: dict[str, set[Storage]] = defaultdict(set)
        self._tensors: dict[str, list[Tensor]] = defaultdict(list)
        for storage in found.storages:
            self._storages[storage.key].add(storage)
        for tensor in found.tensors:
            self._tensors[tensor.storage.key].append(tensor)

    def regions(self, key: str, member: Member) -> list[Region]:
        """A storage cut along its tensors; one region of UNKNOWN where it is not as was said."""
        said = self._storages.get(key, ())
        whole = Region(member.offset, member.size, ElementType.UNKNOWN)
        if len(said) != 1:
            return [whole]
        (storage,) = said
        if storage.elements * storage.element.size != member.size:
            return [whole]
        return cut_storage(member, storage.element, self._tensors.get(key, []))


def cut_storage(member: Member, element: ElementType, tensors: list[Tensor]) -> list[Region]:
    """A storage of `element` cut along `tensors`; one region where they overlap or leave gaps
    within themselves. A region has a name only if it is one tensor and nothing else."""
    tensors = [tensor for tensor in tensors if tensor.size]
    elements = {tensor.element for tensor in tensors}
    if element is ElementType.UNKNOWN and len(elements) == 1:
        (element,) = elements
    distinct = {(t.offset, t.size, t.element): t for t in reversed(tensors)}
    ordered = [tensor for _, tensor in sorted(distinct.items())]
    if not all(tensor.dense for tensor in ordered) or not _apart(ordered, member.size):
        ordered = [t for t in ordered if t.dense and (t.offset, t.size) == (0, member.size)][:1]
    names = _names(tensors)
    regions: list[Region] = []
    position = 0
    for tensor in [*ordered, None]:
        until = tensor.offset if tensor else member.size
        if until > position:
            regions.append(Region(member.offset + position, until - position, element))
        if tensor:
            place = member.offset + tensor.offset
            name = names.get(_key(tensor), "")
            regions.append(Region(place, tensor.size, tensor.element, name, tensor.shape))
            position = tensor.offset + tensor.size
    return regions


def _names(tensors: Iterable[Tensor]) -> dict[tuple[object, ...], str]:
    """What tensors that are the same bytes and the same shape are called, all of them together:
    weights that are tied. As many names as a region may have."""
    found: dict[tuple[object, ...], str] = {}
    for tensor in tensors:
        key = _key(tensor)
        for name in tensor.names:
            longer = f"{found[key]}{BETWEEN_NAMES}{name}" if key in found else name
            if len(longer.encode("utf-8", "surrogatepass")) <= NAME_SIZE:
                found[key] = longer
    return found


def _key(tensor: Tensor) -> tuple[object, ...]:
    return tensor.offset, tensor.element, tensor.shape, tensor.dense


def _apart(tensors: list[Tensor], size: int) -> bool:
    """Whether tensors in order lie within `size` bytes, and none overlaps the next."""
    ends = [0, *(tensor.offset + tensor.size for tensor in tensors)]
    starts = [*(tensor.offset for tensor in tensors), size]
    return all(end <= start for end, start in zip(ends, starts, strict=True))
