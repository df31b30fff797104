"""PyTorch's file format written without PyTorch: its zip archives, and pickles of its names."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ALIGNMENT = 64


@dataclass(frozen=True, eq=False)
class Named:
    """Something of a module, which need not be there."""

    module: str
    name: str

    def __call__(self, *_: object) -> None:
        raise AssertionError(f"{self.module}.{self.name} was called")


@dataclass(frozen=True, eq=False)
class FakeStorage:
    """A storage: its class in `torch`, the member it lies in, how many elements it has."""

    kind: str
    key: str
    elements: int


@dataclass(frozen=True, eq=False)
class FakeTensor:
    """A tensor: offset and strides count elements of the storage."""

    storage: FakeStorage
    shape: tuple[int, ...]
    offset: int = 0
    strides: tuple[int, ...] | None = None
    dtype: str | None = None
    parameter: bool = False


@dataclass(frozen=True, eq=False)
class Reduced:
    """Whatever is pickled as a call of `function` with `arguments`."""

    function: Named
    arguments: tuple[Any, ...]


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor whose elements lie in order."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Python's own pickler, which writes names without looking them up."""

    def persistent_id(self, value: object) -> object:
        if not isinstance(value, FakeStorage):
            return None
        module = "torch.storage" if value.kind == "UntypedStorage" else "torch"
        return "storage", Named(module, value.kind), value.key, "cpu", value.elements

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, Named):
            self._save_named(value)
        elif isinstance(value, Reduced):
            self.save_reduce(value.function, value.arguments)
        elif isinstance(value, FakeTensor):
            self.save(_rebuilt(value))
        else:
            super().save(value, save_persistent_id)

    def _save_named(self, value: Named) -> None:
        if (known := self.memo.get(id(value))) is not None:
            self.write(self.get(known[0]))
        elif self.proto >= 4:
            self.save(value.module)
            self.save(value.name)
            self.write(pickle.STACK_GLOBAL)
            self.memoize(value)
        else:
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            self.memoize(value)


def _rebuilt(tensor: FakeTensor) -> Reduced:
    strides = row_major(tensor.shape) if tensor.strides is None else tensor.strides
    hooks: OrderedDict[str, int] = OrderedDict()
    arguments: tuple[Any, ...] = (tensor.storage, tensor.offset, tensor.shape, strides)
    if tensor.dtype:
        arguments += (False, hooks, Named("torch", tensor.dtype))
        made = Reduced(Named("torch._utils", "_rebuild_tensor_v3"), arguments)
    else:
        made = Reduced(Named("torch._utils", "_rebuild_tensor_v2"), (*arguments, False, hooks))
    if not tensor.parameter:
        return made
    return Reduced(Named("torch._utils", "_rebuild_parameter"), (made, True, OrderedDict()))


def pickled(value: object, protocol: int = 2) -> bytes:
    """A pickle in which `Named` and `FakeTensor` are what they stand for."""
    out = io.BytesIO()
    _Pickler(out, protocol).dump(value)
    return out.getvalue()


def zipped(
    members: Iterable[tuple[str, bytes]],
    *,
    aligned: bool = True,
    deflated: Iterable[str] = (),
    comment: bytes = b"",
) -> bytes:
    """A zip archive; stored members begin at multiples of 64 as PyTorch's do."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.comment = comment
        for name, data in members:
            info = zipfile.ZipInfo(name)
            if name in deflated:
                info.compress_type = zipfile.ZIP_DEFLATED
            elif aligned:
                padding = -(out.tell() + 30 + len(name.encode()) + 4) % ALIGNMENT
                info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(info, data)
    return out.getvalue()


def torch_zip(
    value: object,
    storages: Mapping[str, bytes],
    *,
    protocol: int = 2,
    folder: str = "archive",
    extra: Mapping[str, bytes] | None = None,
    **how: Any,
) -> bytes:
    """A file of PyTorch's with this value in it, and these bytes in its storages."""
    data = value if isinstance(value, bytes) else pickled(value, protocol)
    members = {"data.pkl": data, "byteorder": b"little"}
    members |= {f"data/{key}": content for key, content in storages.items()}
    members |= {"version": b"3\n"} | dict(extra or {})
    return zipped(((f"{folder}/{name}", content) for name, content in members.items()), **how)
