"""What earlier releases encoded decodes to the same bytes for ever."""

from dataclasses import dataclass
from pathlib import Path

import blake3
import pytest
import zstandard

from modelfloat.cas.codecs.floats import BF16, FP16, FP32, FP64
from modelfloat.cas.codecs.registry import decode
from modelfloat.tests.support.weights import weights

GOLDEN = Path(__file__).with_name("golden")
PLAIN = b"".join(b"%d: %d\n" % (i, i * i % 65_521) for i in range(2000))
PLAIN_BLAKE3 = "4d5a19e3a89b8813c8cc24e803ca069edaff9e598d9dc11c5ef28b14e0281f68"


def test_zstd_v1_decodes() -> None:
    encoded = (GOLDEN / "codec-zstd-v1.bin").read_bytes()
    out = memoryview(bytearray(len(PLAIN)))
    decode(1, encoded, out)
    assert out == PLAIN
    assert blake3.blake3(out).hexdigest() == PLAIN_BLAKE3


def test_zstd_v1_is_the_frame_that_the_format_describes() -> None:
    frame = zstandard.get_frame_parameters((GOLDEN / "codec-zstd-v1.bin").read_bytes())
    assert (frame.content_size, frame.has_checksum, frame.dict_id) == (len(PLAIN), False, 0)


def test_raw_is_the_chunk_itself() -> None:
    out = memoryview(bytearray(len(PLAIN)))
    decode(0, PLAIN, out)
    assert out == PLAIN


@dataclass(frozen=True)
class Golden:
    """A golden file: its codec, what it holds and the BLAKE3 of that, its planes' methods."""

    number: int
    plain: bytes
    digest: str
    methods: tuple[int, ...]


FLOATS = {
    "bf16": Golden(
        2,
        weights("bf16", 3000) + b"!",
        "84351bc4f0f32782e73a572867e3169cb3868eb83e1c85a81cc0095a155196ad",
        (1, 0),
    ),
    "bf16-squeezed": Golden(
        2,
        weights("bf16", 3000),
        "fdc3bdd2525c09bdafecd0e11c0c9682ec634157a6b740925f050141c4d92b06",
        (4, 5),
    ),
    "fp16": Golden(
        3,
        weights("fp16", 3000) + b"!",
        "64f8a718f91287fc4b40f2f8d8c2c26e529cd732da78bc8ad40ade047734ac85",
        (1, 0),
    ),
    "fp16-rounded": Golden(
        3,
        weights("fp16", 2999, 7),
        "52ca2668d1d61e0d22405bfb2f612865cf39ca5a3c0c3dac266fc719ff03cc6d",
        (1, 1),
    ),
    "fp32": Golden(
        4,
        weights("fp32", 3000) + b"tai",
        "c82c63e533f4d072013d9559bdf5bf65a9d5f5a79300263197717c63f2ecc271",
        (4, 5, 0, 0),
    ),
    "fp32-rounded": Golden(
        4,
        weights("fp32", 3000, 7),
        "b49d0a38a575dc1c41fa459a6aff9b64c0c5c34f315e494510b26ac2bf701ec0",
        (1, 1, 2, 3),
    ),
    "fp64": Golden(
        5,
        weights("fp64", 1500) + b"endings",
        "75c612870c6b9211926560285ed98303f7ac70a72138cbc445d4dde86a45208e",
        (1, 1, 0, 0, 0, 0, 0, 0),
    ),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats_v1_decode(name: str) -> None:
    golden = FLOATS[name]
    encoded = (GOLDEN / f"codec-{name}-v1.bin").read_bytes()
    out = memoryview(bytearray(len(golden.plain)))
    codec = next(codec for codec in (BF16, FP16, FP32, FP64) if codec.number == golden.number)
    codec.decode(encoded, out)
    assert out == golden.plain
    assert blake3.blake3(out).hexdigest() == golden.digest
    assert tuple(encoded[5 * i] for i in range(len(golden.methods))) == golden.methods
