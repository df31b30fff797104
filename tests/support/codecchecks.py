"""What every codec has to hold: bytes come back or are declined, a decoder keeps within bounds."""

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hypothesis import strategies as st

from modelfloat.cas.codecs.codec import Codec, Decoder
from modelfloat.tests.support.sources import noise

GOLDEN = Path(__file__).parents[1] / "formats" / "golden"
MARGIN = b"\xa5" * 64
"""What lies on either side of a buffer that is decoded into."""
LARGEST = 70_000
"""Raw bytes of a chunk that a fuzzer decodes, at most: clearing more would take the time."""
EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6)
"""Bytes of an encoded chunk that are changed: where, and to what."""


def runs(longest: int, *others: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Any few bytes, few repeated up to `longest` times, noise, or one of the others."""
    return st.one_of(
        st.binary(min_size=1, max_size=50),
        st.builds(bytes.__mul__, st.binary(min_size=1, max_size=9), st.integers(1, longest)),
        st.builds(noise, st.integers(0, 99), st.integers(1, 70_000)),
        *others,
    )


def check_round_trip(codec: Codec, raw: bytes) -> None:
    """What is encoded comes back; declining to encode is allowed."""
    encoded = codec.encode(memoryview(raw))
    if encoded is not None:
        out = bytearray(len(raw))
        codec.decode(encoded, memoryview(out))
        assert out == raw


def decode_within(codec: Decoder, encoded: bytes | bytearray, raw: int) -> None:
    """Decode into the middle of a larger buffer, the rest of which must stay as it is."""
    size = len(MARGIN)
    around = memoryview(bytearray(b"\xa5" * (raw + 2 * size)))
    try:
        codec.decode(encoded, around[size:-size])
    finally:
        assert bytes(around[:size]) == bytes(around[-size:]) == MARGIN


def edited(encoded: bytes, edits: list[tuple[int, int]], *, near: bool) -> bytearray:
    """With some bytes changed, with `near` only among the first, where headers are."""
    changed = bytearray(encoded)
    for at, value in edits:
        changed[at % min(len(changed), 60 if near else len(changed))] = value
    return changed


def decoding(codec: Decoder) -> Callable[[bytes], None]:
    """What feeds a decoder; an input is the chunk's raw length (u32) and its encoded bytes."""

    def feed(data: bytes) -> None:
        decode_within(codec, data[4:], int.from_bytes(data[:4], "little") % LARGEST)

    return feed


def coming_back(codec: Codec) -> Callable[[bytes], None]:
    """What feeds an encoder."""
    return lambda data: check_round_trip(codec, data)


def golden_inputs(name: str, lengths: Mapping[str, int]) -> Iterator[bytes]:
    """The golden chunks of the codecs whose names begin so, as inputs; `lengths` are raw."""
    for golden, raw in lengths.items():
        if golden.startswith(name):
            yield struct.pack("<I", raw) + (GOLDEN / f"codec-{golden}-v1.bin").read_bytes()
