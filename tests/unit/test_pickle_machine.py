"""Pickles as opcodes: Python's own are understood, and no pickle takes more than its share."""

import pickle
import pickletools
import subprocess
import sys
from collections import OrderedDict, defaultdict
from typing import Any

import pytest

from modelfloat.cas.chunking import pickleops, picklestack, room
from modelfloat.cas.chunking.picklemachine import _STEPS, Machine
from modelfloat.cas.chunking.pickleops import OPCODES, opcodes
from modelfloat.cas.chunking.picklevalues import (
    LEAVES,
    OTHER,
    Call,
    Container,
    Global,
    Persistent,
)
from modelfloat.cas.chunking.room import Room
from modelfloat.cas.chunking.torchtensors import find_tensors
from modelfloat.tests.support import picklebombs
from modelfloat.tests.support.bounds import peak
from modelfloat.tests.support.picklebombs import bombs
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, pickled


def _plain(value: object) -> Any:
    """What a value of the machine's stands for; calls as what they call and with what."""
    if isinstance(value, Call):
        return (_plain(value.function), _plain(value.arguments), _items(value))
    if isinstance(value, Container):
        return _items(value)
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Global):
        return f"{value.module}.{value.name}"
    if isinstance(value, Persistent):
        return ["persistent", _plain(value.id)]
    return "other" if value is OTHER else value


def _items(value: Container) -> list[Any]:
    return [(_plain(key), _plain(item)) for key, item in value.items]


class Thing:
    """An object with a state."""

    def __init__(self) -> None:
        self.a = 5


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (False, False),
        (0, 0),
        (-5, -5),
        (70_000, 70_000),
        (1 << 40, 1 << 40),
        (-(1 << 62), -(1 << 62)),
        (1 << 500, "other"),
        (1.5, "other"),
        ("", ""),
        ("größe\n", "größe\n"),
        ("x" * 5000, "other"),
        ((), ()),
        ((1, (2, 3, (4,)), 5, 6, 7), (1, (2, 3, (4,)), 5, 6, 7)),
        ([1, "a", [2]], [(0, 1), (1, "a"), (2, [(0, 2)])]),
        ({"a": 1, 2: {"b": None}}, [("a", 1), (2, [("b", None)])]),
        (list(range(2500)), list(enumerate(range(2500)))),
        (OrderedDict, "collections.OrderedDict"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_become_what_they_are(value: object, expected: object, protocol: int) -> None:
    assert _plain(Machine().run(pickle.dumps(value, protocol))) == expected


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        bytearray(b"bytes"),
        {1, 2},
        frozenset([1]),
        1j,
        OrderedDict(a=1),
        defaultdict(list, a=[1]),
        Thing(),
        [Thing()] * 3,
        range(5),
        "\ud800",
    ],
    ids=str,
)
def test_what_else_python_pickles_is_run_to_its_end(value: object, protocol: int) -> None:
    Machine().run(pickle.dumps(value, protocol))


def test_objects_have_arguments_and_a_state() -> None:
    (thing,) = Machine().run(pickle.dumps((Thing(),), 2))  # type: ignore[misc]
    assert isinstance(thing, Call)
    assert _plain(thing.function).endswith(".Thing")
    assert _items(thing) == [(None, [("a", 5)])]
    ordered = Machine().run(pickle.dumps(OrderedDict(a=1), 2))
    assert _plain(ordered) == ("collections.OrderedDict", (), [("a", 1)])


def test_buffers_beside_the_pickle_do_not_matter() -> None:
    data = pickle.dumps(pickle.PickleBuffer(b"x" * 9), 5, buffer_callback=lambda _: None)
    assert "NEXT_BUFFER" in [op.name for op, _, _ in pickletools.genops(data)]
    assert Machine().run(data) is OTHER


def test_every_opcode_is_known() -> None:
    silent = {"PROTO", "FRAME", "STOP", "READONLY_BUFFER"}
    assert {opcode.name for opcode in OPCODES.values()} == silent | LEAVES.keys() | _STEPS.keys()


@pytest.mark.parametrize("protocol", range(6))
def test_opcodes_are_read_as_the_standard_library_reads_them(protocol: int) -> None:
    data = pickle.dumps([Thing(), 1 << 70, "ü\n", b"b", {1}, (1.5,)], protocol)
    expected = [op.name for op, _, _ in pickletools.genops(data)]
    assert [name for name, _ in opcodes(data)] == expected


MALFORMED = {
    "nothing": b"",
    "no opcode": b"\xff.",
    "no end": b"N",
    "an empty stack": b".",
    "below a mark": b"N(.",
    "no mark": b"Nt.",
    "a tuple of too little": b"N\x86.",
    "below a mark by a tuple": b"N(N\x86.",
    "a call of nothing": b"R.",
    "nothing to append to": b"(Ne.",
    "a key without a value": b"}(Nu.",
    "a dict of three": b"(NNNd.",
    "no such memo": b"h\x00.",
    "a memo far away": b"Nr\xff\xff\xff\xff.",
    "a negative memo": b"Np-1\n.",
    "a memo of words": b"Npx\n.",
    "a number of words": b"Ix\n.",
    "a number of too many digits for Python": b"Np" + b"9" * 5000 + b"\n.",
    "text beyond the pickle": b"X\xff\xff\xff\xffabc.",
    "2^64 bytes of text": b"\x8d" + b"\xff" * 8 + b"abc.",
    "2^64 bytes of bytes": b"\x8e" + b"\xff" * 8 + b"abc.",
    "2^64 bytes to change": b"\x96" + b"\xff" * 8 + b"abc.",
    "a number of 2 GB": b"\x8b\xff\xff\xff\x7fabc.",
    "a number of less than nothing": b"\x8b\xff\xff\xff\xffabc.",
    "a length that breaks off": b"X\x01",
    "a line without an end": b"I5",
    "one line of two": b"cos\n",
    "an instance of nothing": b"ios\nsystem\n.",
    "an object of nothing": b"o.",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Machine().run(data)
    assert find_tensors(data, Room(room.ROOM)).tensors == []


def _peak_of(data: bytes) -> int:
    return peak(lambda: find_tensors(data, Room(4 << 20)))[1]


@pytest.mark.parametrize("name", bombs(0))
def test_bombs_stop_at_the_limits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the limits, and pickles to fit. Those of full size are in the slow matrix."""
    monkeypatch.setattr(picklestack, "ROOM", 1 << 20)
    monkeypatch.setattr(picklestack, "STACK_LIMIT", 1 << 13)
    monkeypatch.setattr(picklestack, "MEMO_LIMIT", 1 << 14)
    monkeypatch.setattr(pickleops, "OPCODE_LIMIT", 1 << 16)
    monkeypatch.setattr("modelfloat.cas.chunking.torchtensors.STEP_LIMIT", 1 << 14)
    assert _peak_of(bombs(256 << 10)[name]) < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", bombs(0))
def test_bombs_of_full_size_take_less_than_200_mb(name: str) -> None:
    """In a process of its own, in an archive, with the pickle itself and whatever is left over."""
    command = [sys.executable, "-m", picklebombs.__name__, name]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 200_000_000


def test_ten_thousand_tensors_are_no_bomb() -> None:
    storage = FakeStorage("FloatStorage", "0", 1)
    state = {f"model.layers.{i}.attention.weight": FakeTensor(storage, ()) for i in range(10_000)}
    found = find_tensors(pickled(state), Room(room.ROOM))
    assert [tensor.names for tensor in found.tensors] == [(name,) for name in state]
