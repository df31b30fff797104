"""The ONNX format: one protobuf message, `ModelProto`, with weights anywhere in it.

Format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Weights are the initializers of
graphs, and constants, which are attributes of nodes; graphs stand in attributes again (`If`,
`Loop`). The messages that are open wait in a list: nothing recurses.
"""

import logging
from enum import IntEnum, auto
from sys import getsizeof
from typing import Final

from .gaps import filled
from .onnxtensor import External, read_tensor, read_text
from .parser import Source
from .protobuf import MessageCursor, Wire
from .regions import Region
from .room import Room

TENSOR_LIMIT: Final = 1 << 17
"""Most tensors of a model: twenty times what the largest models have."""
DEPTH: Final = 100
"""Messages within messages, as many as protobuf's own readers take."""

_LOG: Final = logging.getLogger(__name__)


class _Message(IntEnum):
    MODEL = auto()
    TRAINING = auto()
    FUNCTION = auto()
    GRAPH = auto()
    NODE = auto()
    ATTRIBUTE = auto()
    SPARSE = auto()
    TENSOR = auto()
    OUTPUT = auto()
    """No message: a node's output, whose name a constant has that has none itself."""


# Which fields of a message are messages that tensors may stand in. Of training information both
# graphs: what begins and what goes on.
_CHILDREN: Final[dict[_Message, dict[int, _Message]]] = {
    _Message.MODEL: {7: _Message.GRAPH, 20: _Message.TRAINING, 25: _Message.FUNCTION},
    _Message.TRAINING: {1: _Message.GRAPH, 2: _Message.GRAPH},
    _Message.FUNCTION: {7: _Message.NODE, 11: _Message.ATTRIBUTE},
    _Message.GRAPH: {1: _Message.NODE, 5: _Message.TENSOR, 15: _Message.SPARSE},
    _Message.NODE: {2: _Message.OUTPUT, 5: _Message.ATTRIBUTE},
    _Message.ATTRIBUTE: {
        5: _Message.TENSOR,
        6: _Message.GRAPH,
        10: _Message.TENSOR,
        11: _Message.GRAPH,
        22: _Message.SPARSE,
        23: _Message.SPARSE,
    },
    _Message.SPARSE: {1: _Message.TENSOR, 2: _Message.TENSOR},
}
_INSIDE_NODES: Final = (_Message.ATTRIBUTE, _Message.SPARSE)
# A model begins with its ir_version, of which there are few, and another of its fields.
_BEGINNINGS: Final = tuple(
    bytes([8, version, tag])
    for version in range(1, 32)
    for tag in (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42)
)


class OnnxParser:
    """Finds the tensors of an ONNX model that lie in the model itself.

    Several tensors of one name, which constants of two graphs may be, are numbered: `w`, `w#2`.
    """

    name = "onnx"

    def suits(self, file_name: str, head: bytes) -> bool:
        """By its name, or because it begins as a model does; there is no magic number."""
        return file_name.lower().endswith(".onnx") or head.startswith(_BEGINNINGS)

    def parse(self, source: Source) -> list[Region] | None:
        """Each tensor, and what stands between them; None also where there are no tensors."""
        walk = Walk(source, Room.of(source.size), inside=TENSOR_LIMIT)
        try:
            walk.run()
            regions = filled(walk.regions, source.size)
        except ValueError as error:
            _LOG.debug("a malformed ONNX model, cut as unknown bytes: %s", error)
            return None
        return regions if walk.regions else None


class Walk:
    """Goes through a model once. Afterwards `regions` are the tensors in it, in file order,
    `external` those in other files, and `fields` says how much work it was.

    At most `inside` regions and `external` tensors are kept, and no more than `room` holds:
    ValueError from `run` where there are more, if it is not zero that are wanted, or where
    something is malformed.
    """

    def __init__(self, source: Source, room: Room, *, inside: int = 0, external: int = 0) -> None:
        self._cursor = MessageCursor(source)
        self._size = source.size
        self._inside = inside
        self._outside = external
        self._room = room
        self._names: dict[str, int] = {}
        self.regions: list[Region] = []
        self.external: list[External] = []

    @property
    def fields(self) -> int:
        """How many fields were passed."""
        return self._cursor.fields

    def run(self) -> None:
        """Find all tensors."""
        cursor, label = self._cursor, ""
        waiting = [(_Message.MODEL, self._size)]
        while waiting:
            message, end = waiting[-1]
            found = cursor.field(end, _CHILDREN[message])
            if found is None:
                waiting.pop()
                continue
            number, wire, value = found
            if wire != Wire.LEN:
                cursor.skip(value if wire else 0)
                continue
            child, after = _CHILDREN[message][number], cursor.position + value
            if child is _Message.TENSOR:
                self._tensor(after, label)
            elif child is _Message.OUTPUT:
                label = label or read_text(cursor, after)
                cursor.skip(after - cursor.position)
            else:
                waiting.append((child, after))
                label = label if child in _INSIDE_NODES else ""
                if len(waiting) > DEPTH:
                    raise ValueError("messages nested too deep")

    def _tensor(self, end: int, label: str) -> None:
        tensor = read_tensor(self._cursor, end)
        if not tensor.placed:
            return
        tensor.name = self._unique(tensor.name or label or "tensor")
        self._room.keep(tensor.name, tensor.shape)
        if self._inside:
            self.regions.extend(tensor.regions())
        if self._outside and (external := tensor.external()) is not None:
            self._room.take(getsizeof(external.location))
            self.external.append(external)
        kept = len(self.regions) - self._inside, len(self.external) - self._outside
        if max(kept) > 0:
            raise ValueError("more tensors than any model has")

    def _unique(self, name: str) -> str:
        """The name, with a number behind it where it was there before."""
        count = self._names[name] = self._names.get(name, 0) + 1
        if count == 1:
            return name
        name = f"{name}#{count}"
        if name in self._names:
            raise ValueError(f"a tensor that is itself called {name!r}")
        self._names[name] = 1
        return name
