"""Requests of the kernel, changed in every way: the parsers raise ValueError and nothing else, and
each request gets one answer, of which the kernel could make sense."""

import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from modelfloat.fuse import protocol
from modelfloat.fuse.kernel_answers import Answer, Answers
from modelfloat.fuse.operations import Operations
from modelfloat.fuse.passthrough import Passthrough
from modelfloat.fuse.protocol import HEADER, UNANSWERED, Opcode
from modelfloat.tests.support.fuserequests import CAPTURED, read, request
from modelfloat.tests.support.fuzzing import Target, fuzz
from modelfloat.tests.support.shelf import CHUNK, Link, Shelf
from modelfloat.tests.support.walking import LOOK

LARGEST_ERRNO = 133
CONTENT = {"file": b"content", "link": Link(b"file"), "big": bytes(CHUNK + 5), "d/e": b"deep"}
BODIES = (
    *(protocol.parse_name, protocol.parse_init, protocol.parse_number, protocol.parse_open),
    *(protocol.parse_read, protocol.parse_batch, protocol.parse_getxattr, protocol.parse_room),
)


def whole(data: bytes) -> bytes:
    """A request's length made right."""
    return struct.pack("=I", len(data)) + data[4:] if len(data) >= HEADER.size else data


def parse(data: bytes) -> None:
    """As every parser of bodies would take it, whatever the opcode says."""
    asked = protocol.parse_request(memoryview(data))
    for parser in BODIES:
        try:
            parser(asked.body)
        except ValueError:
            continue


def test_parsers(effort: tuple[int, float, int]) -> None:
    target = Target(parse, list(CAPTURED.values()), (ValueError,), whole)
    assert fuzz(target, *effort) >= effort[0]


class Daemon:
    """Answers to requests, one after the other, over a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.answers = Answers(Operations(shelf, LOOK), Passthrough(-1))

    def feed(self, data: bytes) -> None:
        """One request, as the event loop gets it."""
        asked = protocol.parse_request(memoryview(data))
        if asked.opcode in UNANSWERED:
            if asked.opcode != Opcode.INTERRUPT:
                self.answers.forget(asked)
            return
        answer = trio.run(self.answers.answer, asked)
        self.judge(asked, answer)

    def judge(self, asked: protocol.Request, answer: Answer) -> None:
        """What the kernel would make of it."""
        assert 0 <= answer.number <= LARGEST_ERRNO
        assert not (answer.number and answer.data)
        if asked.opcode in (Opcode.READ, Opcode.READDIR, Opcode.READDIRPLUS) and not answer.number:
            assert len(answer.data) <= protocol.parse_read(asked.body)[2]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    shelf = Shelf(tmp_path)
    shelf.commit("acme/llama", CONTENT)
    yield Daemon(shelf)
    shelf.close()


def conversation(daemon: Daemon) -> list[bytes]:
    """Requests that mean something: of inodes that were looked up and handles that are open."""
    made: list[bytes] = []

    def ask(opcode: int, inode: int, body: bytes) -> bytes:
        made.append(request(opcode, inode, body))
        answer = trio.run(daemon.answers.answer, protocol.parse_request(memoryview(made[-1])))
        assert answer.number == 0
        return bytes(answer.data)

    def walk(*names: bytes) -> int:
        inode = 1
        for name in names:
            (inode,) = struct.unpack_from("=Q", ask(Opcode.LOOKUP, inode, name + b"\0"))
        return inode

    folder, big = walk(b"acme", b"llama"), walk(b"acme", b"llama", b"big")
    (handle,) = struct.unpack_from("=Q", ask(Opcode.OPEN, big, bytes(8)))
    ask(Opcode.READ, big, read(handle, CHUNK - 10, 4096))
    (listing,) = struct.unpack_from("=Q", ask(Opcode.OPENDIR, folder, bytes(8)))
    for opcode in (Opcode.READDIR, Opcode.READDIRPLUS):
        ask(opcode, folder, read(listing, 0, 4096))
    ask(Opcode.GETATTR, big, bytes(16))
    ask(Opcode.GETXATTR, big, struct.pack("=II", 100, 0) + b"user.modelfloat.blake3\0")
    return made


def test_answers(daemon: Daemon, effort: tuple[int, float, int]) -> None:
    logging.getLogger("modelfloat").setLevel(logging.CRITICAL)
    seeds = [data for name, data in CAPTURED.items() if name != "RELEASEDIR"]
    target = Target(daemon.feed, [*seeds, *conversation(daemon)], (ValueError,), whole)
    assert fuzz(target, *effort) >= effort[0]
