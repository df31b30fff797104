"""Which codec a chunk gets: by its type, by what a look at it says, and by the effort."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelfloat import errors
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.codecs.layouts import LAYOUTS
from modelfloat.cas.codecs.look import different, has_few, repeats, sampled, word_size
from modelfloat.cas.codecs.registry import CODECS, choose, decode
from modelfloat.cas.codecs.sample import SLICE_SIZE, WHOLE_SIZE, is_worth_it, pieces
from modelfloat.cas.codecs.zstd import LEVEL, MATCHES_LEVEL, SMALL_LEVEL, _contexts
from modelfloat.tests.support.blocks import eights, few, q4_1
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.weights import normal, weights

T = ElementType
TEXT = Path(errors.__file__).read_bytes()
FLOATS = {T.BF16: "bf16", T.F16: "fp16", T.F32: "fp32", T.F64: "fp64"}


def chosen(raw: bytes, element: ElementType, effort: Effort = Effort.BALANCED) -> tuple[str, float]:
    """The codec's name and what is left of the chunk, once it came back."""
    number, encoded = choose(memoryview(raw), element, effort)
    out = memoryview(bytearray(len(raw)))
    decode(number, encoded, out)
    assert out == raw
    assert number == 0 or is_worth_it(len(raw), len(encoded))
    return CODECS[number].name, len(encoded) / len(raw)


@pytest.mark.parametrize("element", FLOATS, ids=lambda e: e.name)
def test_floats_go_by_planes(element: ElementType) -> None:
    name, size = chosen(normal(FLOATS[element], MAX_CHUNK), element)
    assert name == FLOATS[element]
    assert size <= {"bf16": 0.665, "fp16": 0.85, "fp32": 0.83, "fp64": 0.92}[name]


def test_complex_numbers_are_two_floats_each() -> None:
    assert chosen(normal("fp32", MAX_CHUNK), T.C64)[0] == "fp32"
    assert chosen(normal("fp64", MAX_CHUNK), T.C128)[0] == "fp64"


def test_small_takes_longer_over_bf16() -> None:
    raw = normal("bf16", MAX_CHUNK)
    assert chosen(raw, T.BF16, Effort.SMALL)[1] < chosen(raw, T.BF16)[1] < 0.665


def test_clean_floats_get_the_saving_they_allow() -> None:
    assert chosen(rounded(MAX_CHUNK), T.F32) < ("fp32", 0.34)
    assert chosen(weights("fp16", 200_000, 4), T.F16)[1] < 0.6


EIGHTS = [T.U8, T.I8, T.F8_E4M3, T.F8_E5M2, T.F8_E4M3FNUZ, T.F8_E5M2FNUZ, T.F4, T.U4, T.F6_E2M3]


@pytest.mark.parametrize("element", EIGHTS, ids=lambda e: e.name)
def test_elements_of_a_byte_are_one_plane(element: ElementType) -> None:
    name, size = chosen(eights(300_000), element)
    assert name == "bytes"
    assert size < 0.75


@pytest.mark.parametrize("element", LAYOUTS, ids=lambda e: e.name)
def test_quantised_blocks_have_their_layouts(element: ElementType) -> None:
    """Quants of noise with scales that vary little, which any layout keeps apart."""
    layout = LAYOUTS[element]
    blocks = np.frombuffer(noise(5, 4000 * layout.block), np.uint8).reshape(4000, -1).copy()
    at = np.cumsum([0, *(run.width for run in layout.runs)])
    narrowest = min(range(len(layout.widths)), key=lambda plane: -layout.widths[plane])
    for run, start in zip(layout.runs, at, strict=False):
        if run.plane == narrowest:
            blocks[:, start : start + run.width] &= 7
    name, size = chosen(blocks.tobytes(), element)
    assert name == "fields"
    assert size < 0.97


def test_scales_are_told_from_quants() -> None:
    assert chosen(q4_1(20_000), T.Q4_1) < ("fields", 0.9)


def test_small_codes_planes_that_hardly_shrink() -> None:
    """Some bytes of quants never come, others twice as often: a little under 2 % of their bits."""
    blocks = np.frombuffer(noise(6, 18 * 20_000), np.uint8).reshape(-1, 18).copy()
    quants = blocks[:, 2:]
    quants[quants >= 238] -= 100
    blocks[:, 1] &= 3
    raw = blocks.tobytes()
    assert chosen(raw, T.Q4_0, Effort.SMALL)[1] < chosen(raw, T.Q4_0)[1] - 0.005


def test_types_that_do_not_shrink_stay_raw() -> None:
    for element in T.Q3_K, T.Q5_K, T.Q6_K, T.F32, T.U8, T.I64:
        assert chosen(noise(3, 500_000), element) == ("raw", 1.0)


@pytest.mark.parametrize(("element", "bound"), [(T.I16, 0.6), (T.I32, 0.3), (T.I64, 0.2)])
def test_integers_go_by_bytes(element: ElementType, bound: float) -> None:
    small = np.random.default_rng(4).integers(0, 400, 100_000)
    name, size = chosen(small.astype(f"<i{element.size}").tobytes(), element)
    assert name == "fields"
    assert size < bound


@pytest.mark.parametrize("element", T, ids=lambda e: e.name)
@pytest.mark.parametrize("effort", Effort)
def test_what_repeats_is_found_whatever_it_is(element: ElementType, effort: Effort) -> None:
    assert chosen(bytes(MAX_CHUNK), element, effort) == ("repeat", 1 / MAX_CHUNK)
    assert chosen(b"\0\0\x80\x3f" * 1000, element, effort) == ("repeat", 0.001)


@pytest.mark.parametrize("element", [T.F32, T.F16, T.BF16, T.I64, T.F64], ids=lambda e: e.name)
def test_few_words_are_a_palette(element: ElementType) -> None:
    name, size = chosen(few(element.size, 200, 100_000), element)
    assert name == "palette"
    assert size < 1.01 / element.size
    assert chosen(few(element.size, 2, 100_000), element)[1] < 0.14 / element.size


def rounded(size: int) -> bytes:
    """F32 that holds BF16."""
    return (np.frombuffer(normal("fp32", size), "<u4") & 0xFFFF0000).astype("<u4").tobytes()


@pytest.mark.parametrize("count", [300, 600, 1000])
def test_a_few_hundred_words_in_any_order_are_matched(count: int) -> None:
    """Too many for a palette, and too short to be seen by zstd's lowest level."""
    words = np.frombuffer(normal("fp32", 4 * count), "<u4")
    raw = np.random.default_rng(1).choice(words, 1 << 16).tobytes()
    name, size = chosen(raw, T.F32)
    assert name == "zstd"
    assert size < 0.5


@pytest.mark.parametrize(
    ("make", "element", "effort", "levels"),
    [
        (lambda: normal("fp32", MAX_CHUNK), T.F32, Effort.SMALL, set()),
        (lambda: rounded(MAX_CHUNK), T.F32, Effort.SMALL, {LEVEL, MATCHES_LEVEL}),
        (lambda: TEXT, T.F32, Effort.SMALL, {LEVEL, MATCHES_LEVEL, SMALL_LEVEL}),
        (lambda: TEXT, T.BYTES, Effort.SMALL, {LEVEL, SMALL_LEVEL}),
        (lambda: TEXT, T.BYTES, Effort.BALANCED, {LEVEL}),
    ],
)
def test_threads_keep_only_the_compressors_they_need(
    make: Callable[[], bytes], element: T, effort: Effort, levels: set[int]
) -> None:
    """The highest level takes most time and memory: it is left out where it is hopeless."""
    raw, used = make(), set[int]()

    def work() -> None:
        chosen(raw, element, effort)
        used.update(_contexts.compressors)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert used == levels


def test_masks_take_a_bit_each_at_most() -> None:
    name, size = chosen(few(1, 2, 500_000), T.BOOL)
    assert name == "palette"
    assert size < 0.126


def test_weights_that_are_mostly_zero_are_decided_by_a_sample() -> None:
    rng = np.random.default_rng(6)
    values = np.frombuffer(normal("fp32", MAX_CHUNK), "<f4").copy()
    values[rng.random(len(values)) < 0.95] = 0
    _, size = chosen(values.tobytes(), T.F32)
    assert size < 0.09
    rows = np.tile(np.frombuffer(normal("fp32", 1536), "<f4"), 600)
    assert chosen(rows.tobytes(), T.F32)[1] < 0.01


@pytest.mark.parametrize("element", T, ids=lambda e: e.name)
def test_text_is_text_whatever_a_header_claims(element: ElementType) -> None:
    name, size = chosen(TEXT, element)
    assert size < 0.4
    assert name == "zstd"


@pytest.mark.parametrize("element", [T.BYTES, T.UNKNOWN])
def test_small_takes_longer_over_text(element: ElementType) -> None:
    assert chosen(TEXT, element, Effort.SMALL)[1] < 0.95 * chosen(TEXT, element)[1]


@pytest.mark.parametrize("element", T, ids=lambda e: e.name)
def test_fast_stores_what_does_not_repeat_as_it_is(element: ElementType) -> None:
    raw = memoryview(TEXT)
    number, encoded = choose(raw, element, Effort.FAST)
    assert number == 0
    assert encoded is raw


# Unknown bytes


@pytest.mark.parametrize(("name", "bound"), [("fp32", 0.845), ("bf16", 0.675), ("fp16", 0.86)])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_floats_are_known_without_a_parser(name: str, bound: float, start: int) -> None:
    codec, size = chosen(normal(name, MAX_CHUNK)[start:], T.UNKNOWN)
    assert codec == "fields"
    assert size < bound


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: normal("fp32", 100_000), 4),
        (lambda: normal("fp16", 100_000), 2),
        (lambda: normal("bf16", 100_000)[1:], 2),
        (lambda: normal("fp64", 100_000)[5:], 8),
        (lambda: np.arange(20_000, dtype="<i8").tobytes(), 8),
        (lambda: TEXT, None),
        (lambda: noise(8, 100_000), None),
        (lambda: eights(100_000), None),
        (lambda: bytes(100_000), None),
        (lambda: normal("fp32", 1000), None),
        (lambda: b"", None),
    ],
)
def test_numbers_show_in_columns(make: Callable[[], bytes], words: int | None) -> None:
    assert word_size(memoryview(make())) == words


# Looks and samples


def test_a_look_counts_what_differs() -> None:
    assert different(sampled(memoryview(b""), 4)) == 0
    assert different(sampled(memoryview(b"abc"), 4)) == 0
    assert different(sampled(memoryview(b"abcd"), 4)) == 1
    assert different(sampled(memoryview(b"abcdabceabcd"), 4)) == 2


def test_a_look_tells_weights_from_what_repeats() -> None:
    for name in FLOATS.values():
        assert not repeats(memoryview(normal(name, MAX_CHUNK)))
    assert repeats(memoryview(weights("fp32", 200_000, 3)))
    assert not repeats(memoryview(b""))
    assert has_few(memoryview(few(2, 256, 9000)), 2)
    assert not has_few(memoryview(noise(1, 9000)), 2)
    assert has_few(memoryview(few(1, 16, 9000)), 1)
    assert not has_few(memoryview(few(1, 40, 9000)), 1)


def test_pieces_are_whole_units_from_all_over() -> None:
    numbers = np.repeat(np.arange(MAX_CHUNK // 420), 210).astype("<u2")
    raw = memoryview(numbers.tobytes() + b"odd")
    part = pieces(raw, 420)
    assert len(part) == 3 * (SLICE_SIZE // 420 * 420)
    blocks = np.frombuffer(part, "<u2").reshape(-1, 210)
    assert (blocks == blocks[:, :1]).all()
    last = len(raw) // 420
    assert blocks[0, 0] == 0
    assert last - 20 <= blocks[-1, 0] + 1 <= last
    assert pieces(raw[:WHOLE_SIZE], 7) == raw[:WHOLE_SIZE]
