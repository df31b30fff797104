"""Pickles that want to become much more than they are, or to take for ever.

`python -m modelfloat.tests.support.picklebombs NAME` looks for the tensors of a file of PyTorch's
that has one of full size in it, and prints how many bytes of memory that took.
"""

import sys

from modelfloat.cas.chunking.torchzip import PICKLE_LIMIT
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.tests.support.memory import fresh_peak, peak
from modelfloat.tests.support.sources import BytesSource
from modelfloat.tests.support.torchzips import torch_zip


def _tensor(name: int) -> bytes:
    call = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    call += b"X\x01\0\0\0" + b"0X\x03\0\0\0cpuK\x05tQK\0K\x05\x85K\x01\x85tR"
    return b"X\x08\0\0\0%08d" % name + call


def bombs(size: int) -> dict[str, bytes]:
    """Pickles of about `size` bytes that want to become much more, or to take for ever."""

    def many(part: bytes, before: bytes = b"", after: bytes = b".") -> bytes:
        return before + part * ((size - len(before)) // len(part)) + after

    emoji = b"X\xa0\x0f\0\0" + ("a" * 3996 + "\U0001f600").encode()
    tensors = size // len(_tensor(0))
    return {
        "memo": many(b"K\x05\x94"),
        "the same memo": many(b"K\x05q\0000"),
        "marks": many(b"("),
        "one value a million times": many(b"2", b"N"),
        "tuples of the same": many(b"2\x86", b"N"),
        "deep tuples": many(b"\x85", b"N"),
        "deep lists": many(b"](", b"", b"e" * (size // 8) + b"."),
        "lists": many(b"]"),
        "wide": b"]" + many(b"(" + b"N" * 900 + b"e"),
        "text": many(b"\x8c\x04abcd"),
        "wide text": many(emoji),
        "long numbers": many(b"\x8a\x14" + b"\x7f" * 20),
        "digits": b"I" + b"9" * size + b"\n.",
        "calls": many(b")R", b"N"),
        "states": many(b"NNb0", b"N", b"N."),
        "names": many(b"ca\nb\n"),
        "storages": many(b"Q", b"N"),
        "frames": many(b"\x95" + b"\xff" * 8, b"", b"N."),
        "tensors of long names": (
            b"}(X\0\x02\0\0" + b"k" * 512 + b"}(" + b"".join(map(_tensor, range(tensors))) + b"uu."
        ),
        "a list in itself": b"]\x94" + b"h\0h\0h\0\x87a" * (size // 8) + b".",
    }


if __name__ == "__main__":
    bomb = bombs(PICKLE_LIMIT - (1 << 20))[sys.argv[1]]
    source = BytesSource(torch_zip(bomb, {"0": bytes(4)}))
    del bomb
    before = fresh_peak()
    assert ZipParser().parse(source) is not None
    print(peak() - before)
