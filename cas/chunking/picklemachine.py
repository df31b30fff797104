"""The machine that a pickle is a program for, with none of a pickle's side effects.

What the opcodes do: https://github.com/python/cpython/blob/main/Lib/pickletools.py. Memory is
bounded by the stack, time by the number of opcodes; nothing of the pickle is ever imported or
called.
"""

from collections.abc import Callable, Iterable
from typing import Final

from .pickleops import opcodes
from .picklestack import Stack
from .picklevalues import (
    ITEM_SIZE,
    LEAVES,
    NUMBER_LIMIT,
    OTHER,
    Call,
    Container,
    Global,
    Persistent,
    named,
    unsigned,
)


class Machine:
    """Runs one pickle. `calls` and `persistents` are all that came so far, also where `run` ends in
    an error."""

    def __init__(self, room: int | None = None) -> None:
        self.calls: list[Call] = []
        self.persistents: list[Persistent] = []
        self.stack = Stack(room)

    def run(self, pickle: bytes) -> object:
        """The value that the pickle stands for. ValueError for one that is malformed, or beyond
        our limits."""
        leaves, steps, new = LEAVES, _STEPS, self.stack.new
        for name, argument in opcodes(pickle):
            leaf = leaves.get(name)
            if leaf is not None:
                new(leaf(argument))
            elif name in steps:
                steps[name](self, argument)
        return self.stack.pop()

    def tuple_of(self, count: int) -> None:
        """A tuple of the last `count` values."""
        values = [self.stack.pop() for _ in range(count)]
        self.stack.new(tuple(values[::-1]))

    def tuple_of_marked(self) -> None:
        """A tuple of all above the mark."""
        self.stack.new(tuple(self.stack.pop_marked()))

    def list_of_marked(self) -> None:
        """A list or set of all above the mark."""
        values = self.stack.pop_marked()
        self.stack.new(Container())
        self._append(values)

    def dict_of_marked(self) -> None:
        """A dict of all above the mark."""
        values = self.stack.pop_marked()
        self.stack.new(Container())
        self._set(values)

    def append(self) -> None:
        """One more value for what lies below it."""
        self._append([self.stack.pop()])

    def append_marked(self) -> None:
        """More values for what lies below the mark."""
        self._append(self.stack.pop_marked())

    def set_item(self) -> None:
        """One more key and value for what lies below them."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def set_marked(self) -> None:
        """More keys and values for what lies below the mark."""
        self._set(self.stack.pop_marked())

    def build(self) -> None:
        """The state of the object below it."""
        self._set([None, self.stack.pop()])

    def _append(self, values: list[object]) -> None:
        target = self.stack.top()
        first = len(target.items) if isinstance(target, Container) else 0
        self._fill(target, enumerate(values, first), len(values))

    def _set(self, values: list[object]) -> None:
        if len(values) % 2:
            raise ValueError("a key without a value")
        pairs = zip(values[::2], values[1::2], strict=True)
        self._fill(self.stack.top(), pairs, len(values) // 2)

    def _fill(self, target: object, items: Iterable[tuple[object, object]], count: int) -> None:
        if isinstance(target, Container):
            self.stack.take(count * ITEM_SIZE)
            target.items.extend(items)

    def named_by_stack(self) -> None:
        """Something of a module, both named by texts on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        known = isinstance(name, str) and isinstance(module, str)
        self.stack.new(Global(str(module), str(name)) if known else OTHER)

    def reduce(self) -> None:
        """A function called, or an object of a class made."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self._call(function, arguments)

    def new_with_names(self) -> None:
        """An object of a class made, some arguments by name."""
        by_name = self.stack.pop()
        self.reduce()
        self._set([None, by_name])

    def instance(self, argument: bytes) -> None:
        """An object of protocol 0."""
        self.tuple_of_marked()
        arguments = self.stack.pop()
        self.stack.new(named(argument))
        self._call(self.stack.pop(), arguments)

    def marked_instance(self) -> None:
        """An object of protocol 1: its class is the first value above the mark."""
        function, *arguments = self.stack.pop_marked() or [OTHER]
        self.stack.new(tuple(arguments))
        self._call(function, self.stack.pop())

    def _call(self, function: object, arguments: object) -> None:
        call = Call(function=function, arguments=arguments)
        self.stack.new(call)
        self.calls.append(call)

    def persistent(self) -> None:
        """Something outside the pickle."""
        persistent = Persistent(self.stack.pop())
        self.stack.new(persistent)
        self.persistents.append(persistent)


_Step = Callable[[Machine, bytes], object]


def _plain(step: Callable[[Machine], None]) -> _Step:
    return lambda machine, _: step(machine)


def _on_stack(step: Callable[[Stack], object]) -> _Step:
    return lambda machine, _: step(machine.stack)


def _tuple_of(count: int) -> _Step:
    return lambda machine, _: machine.tuple_of(count)


def _numbered(step: Callable[[Stack, int], None], *, digits: bool = False) -> _Step:
    if digits:
        return lambda machine, argument: step(machine.stack, int(argument[:NUMBER_LIMIT]))
    return lambda machine, argument: step(machine.stack, unsigned(argument))


_STEPS: Final[dict[str, _Step]] = {
    "MARK": _on_stack(Stack.mark),
    "POP": _on_stack(Stack.drop),
    "POP_MARK": _on_stack(Stack.pop_marked),
    "DUP": _on_stack(lambda stack: stack.push(stack.top())),
    "MEMOIZE": _on_stack(Stack.memoize),
    "PUT": _numbered(Stack.put, digits=True),
    "BINPUT": _numbered(Stack.put),
    "LONG_BINPUT": _numbered(Stack.put),
    "GET": _numbered(Stack.get, digits=True),
    "BINGET": _numbered(Stack.get),
    "LONG_BINGET": _numbered(Stack.get),
    "TUPLE": _plain(Machine.tuple_of_marked),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _plain(Machine.list_of_marked),
    "FROZENSET": _plain(Machine.list_of_marked),
    "DICT": _plain(Machine.dict_of_marked),
    "APPEND": _plain(Machine.append),
    "APPENDS": _plain(Machine.append_marked),
    "ADDITEMS": _plain(Machine.append_marked),
    "SETITEM": _plain(Machine.set_item),
    "SETITEMS": _plain(Machine.set_marked),
    "BUILD": _plain(Machine.build),
    "STACK_GLOBAL": _plain(Machine.named_by_stack),
    "REDUCE": _plain(Machine.reduce),
    "NEWOBJ": _plain(Machine.reduce),
    "NEWOBJ_EX": _plain(Machine.new_with_names),
    "INST": lambda machine, argument: machine.instance(argument),
    "OBJ": _plain(Machine.marked_instance),
    "BINPERSID": _plain(Machine.persistent),
}
"""What opcodes do that do more than push; the others (framing, the protocol) do nothing."""
