"""Which tensors a PyTorch pickle tells of: storage, type, place in it, shape, and name.

How PyTorch writes them: torch/_utils.py and torch/serialization.py of
https://github.com/pytorch/pytorch. A storage is a persistent id: the word 'storage', its class, its
member's name, a device and a number of elements. A tensor is a call of `_rebuild_tensor_v2` with a
storage, an offset and strides in elements, and a shape; or of `_v3`, which has the type as well.
"""

import logging
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import chain
from sys import getsizeof
from typing import Final, NamedTuple, TypeGuard

from .orders import told
from .picklemachine import Machine
from .picklevalues import Call, Container, Global, Persistent
from .regions import DIMENSIONS, LARGEST, ElementType, product
from .room import TENSOR_SIZE, Room
from .torchtypes import DTYPES, STORAGES

NAME_LIMIT: Final = 512
"""Longest name of a tensor, in characters."""
DEPTH_LIMIT: Final = 256
"""Containers within each other that are searched for tensors to name."""
STEP_LIMIT: Final = 1 << 20
"""Steps that the search for names takes, at most."""
TENSOR_LIMIT: Final = 1 << 17
"""Most tensors, and most storages, of a pickle."""
MOST_NAMES: Final = 8
"""Names of one tensor that are kept."""
ROOT: Final = "tensor"
"""What a tensor is called that was saved by itself."""

_LOG: Final = logging.getLogger(__name__)
_TENSORS: Final = {
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_qtensor",
}
_WRAPPERS: Final = {"_rebuild_parameter", "_rebuild_parameter_with_state", "restore_type_tag"}
_WITH_TYPE: Final = "_rebuild_tensor_v3"
_OTHER_KIND: Final = "_rebuild_from_type_v2"
# Where a module keeps what belongs to it: no part of the names in its state dict.
_SILENT: Final = ("_parameters", "_buffers", "_modules")


class Storage(NamedTuple):
    """A storage as a persistent id tells of it: its member, its type, and how many elements.

    Of the type UNKNOWN, which the tensors in it know, elements are bytes.
    """

    key: str
    element: ElementType
    elements: int


@dataclass(slots=True)
class Tensor:
    """A tensor's elements in its storage: first byte and number of bytes, its shape, its names.

    `dense` says that these bytes are the tensor's elements and nothing else, in some order, which
    the shape tells where it is not C's.
    """

    storage: Storage
    element: ElementType
    offset: int
    size: int
    shape: tuple[int, ...]
    dense: bool
    names: tuple[str, ...] = ()


class Found(NamedTuple):
    """All storages and tensors that a pickle tells of; where it could not be read to its end, those
    so far, and no tensor has a name."""

    storages: list[Storage]
    tensors: list[Tensor]


def find_tensors(pickle: bytes, room: Room, prefix: str = "") -> Found:
    """What `pickle` tells of, its names with `prefix`. A malformed pickle is no error.

    ValueError where what is found takes more than `room`: of that, at most half is taken by the
    pickle's values, and given back.
    """
    machine = Machine(room.left // 2)
    try:
        root = machine.run(pickle)
    except ValueError as error:
        _LOG.debug("a malformed pickle, read in part only: %s", error)
        root = None
    room.take(machine.stack.used)
    storages = _storages(machine.persistents, room)
    tensors = _tensors(machine.calls, room)
    _name(root, tensors, prefix, room)
    room.give(machine.stack.used)
    return Found(storages, list(tensors.values()))


def _storages(values: Iterable[Persistent], room: Room) -> list[Storage]:
    """All storages, each once."""
    found: dict[Storage, None] = {}
    for value in values:
        storage = _storage(value)
        if storage is not None and storage not in found:
            _count(found, room)
            found[storage] = None
    return list(found)


def _tensors(calls: Iterable[Call], room: Room) -> dict[int, Tensor]:
    """The tensors that the calls make, by the calls' ids."""
    found: dict[int, Tensor] = {}
    for call in calls:
        tensor = _tensor(call)
        if tensor is not None:
            _count(found, room, tensor.shape)
            found[id(call)] = tensor
    return found


def _count(found: Sized, room: Room, shape: tuple[int, ...] = ()) -> None:
    """Make room for one more."""
    if len(found) == TENSOR_LIMIT:
        raise ValueError(f"more than {TENSOR_LIMIT:,} tensors or storages")
    room.keep("", shape)


def _storage(value: object) -> Storage | None:
    if not isinstance(value, Persistent) or not isinstance(value.id, tuple) or len(value.id) < 5:
        return None
    word, kind, key, _, elements = value.id[:5]
    if not (isinstance(word, str) and word == "storage" and isinstance(kind, Global)):
        return None
    element = STORAGES.get(kind.name) if _of_torch(kind) else None
    if element is None or not isinstance(key, str) or not _is_count(elements):
        return None
    return Storage(key, element, elements)


def _tensor(call: Call) -> Tensor | None:
    function, arguments = _called(call)
    if function not in _TENSORS or len(arguments) < 4:
        return None
    storage, (offset, shape, strides) = _storage(arguments[0]), arguments[1:4]
    if storage is None or not (_is_count(offset) and _is_shape(shape)):
        return None
    element = _dtype(arguments) if function == _WITH_TYPE else storage.element
    if element is ElementType.UNKNOWN:
        return None
    unit, count = element.block.bytes, product(shape, LARGEST)
    if offset * unit > LARGEST or count * unit > LARGEST:
        return None
    place, full = (offset * unit, count * unit), shape
    if element.block.elements > 1 and shape:  # a packed type: the shape counts bytes
        full = (*shape[:-1], shape[-1] * element.block.elements)
    if not _is_shape(strides) or not _is_dense(shape, strides):
        return Tensor(storage, element, *place, full, dense=False)
    return Tensor(storage, element, *place, told(full, strides), dense=True)


def _called(call: Call) -> tuple[str, tuple[object, ...]]:
    """The name of a function of PyTorch's and its arguments; no name where it is something else.

    A subclass of Tensor is a function, a class, and the function's arguments.
    """
    function, arguments = call.function, call.arguments
    if _is_named(function, _OTHER_KIND) and isinstance(arguments, tuple) and len(arguments) > 2:
        function, _, arguments = arguments[:3]
    if isinstance(function, Global) and isinstance(arguments, tuple) and _of_torch(function):
        return function.name, arguments
    return "", ()


def _dtype(arguments: tuple[object, ...]) -> ElementType:
    kind = arguments[6] if len(arguments) > 6 else None
    if not isinstance(kind, Global) or not _of_torch(kind):
        return ElementType.UNKNOWN
    return DTYPES.get(kind.name, ElementType.UNKNOWN)


def _of_torch(value: Global) -> bool:
    return value.module.partition(".")[0] == "torch"


def _is_named(value: object, name: str) -> bool:
    return isinstance(value, Global) and _of_torch(value) and value.name == name


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= LARGEST


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) <= DIMENSIONS and all(map(_is_count, value))


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether every element has a place of its own, and no place between them is left free."""
    if len(shape) != len(strides):
        return False
    expected = 1
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _name(root: object, tensors: dict[int, Tensor], name: str, room: Room) -> None:
    """Give every tensor that `root` reaches the first names it is found under, and none twice.

    What stands in several places is gone through several times: the steps are limited, not what
    is remembered. What a container has within itself is not gone through again.
    """
    names: set[str] = set()
    level: list[tuple[str, int, Iterator[tuple[object, object]]]]
    level = [(name, 0, iter([(None, root)]))]
    within: set[int] = set()
    for _ in range(STEP_LIMIT):
        prefix, container, children = level[-1]
        found = next(children, None)
        if found is None:
            level.pop()
            within.discard(container)
            if not level:
                return
            continue
        name, value = _joined(prefix, found[0]), found[1]
        tensor = tensors.get(id(value))
        if len(name) > NAME_LIMIT or not isinstance(value, tuple | Container):
            continue
        if tensor is not None:
            _add_name(tensor, name or ROOT, names, room)
        elif len(level) < DEPTH_LIMIT and id(value) not in within:
            within.add(id(value))
            level.append((name, id(value), _children(value)))


def _add_name(tensor: Tensor, name: str, names: set[str], room: Room) -> None:
    if len(tensor.names) < MOST_NAMES and name not in names:
        room.take(getsizeof(name) + TENSOR_SIZE // 4)
        tensor.names += (name,)
        names.add(name)


def _joined(prefix: str, key: object) -> str:
    if key is None or (isinstance(key, str) and key in _SILENT):
        return prefix
    text = key if isinstance(key, str) else str(key) if type(key) is int else "?"
    return f"{prefix}.{text}" if prefix else text


def _children(value: tuple[object, ...] | Container) -> Iterator[tuple[object, object]]:
    """What a value contains, by its keys."""
    if isinstance(value, tuple):
        return iter(enumerate(value))
    if not isinstance(value, Call):
        return iter(value.items)
    function, arguments = _called(value)
    if function in _WRAPPERS and arguments:
        return iter([(None, arguments[0])])
    arguments = value.arguments if isinstance(value.arguments, tuple) else ()
    return chain(enumerate(arguments), value.items)
