"""What earlier releases encoded decodes to the same bytes for ever."""

from dataclasses import dataclass
from pathlib import Path

import blake3
import pytest
import zstandard

from modelfloat.cas.codecs.floats import BF16, FP16, FP32, FP64
from modelfloat.cas.codecs.registry import decode
from modelfloat.tests.support.blocks import eights, few, q4_1
from modelfloat.tests.support.samples import noise
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


@dataclass(frozen=True)
class Whole:
    """A golden file of a codec that is not of floats: its codec, what it holds, its first bytes."""

    number: int
    plain: bytes
    digest: str
    head: bytes


OTHERS = {
    "bytes": Whole(
        6, eights(4000), "325de08fe66ea3dcda8b9f20467235bd30d9028eb141bb4c00966a92c456adb3", b"\1"
    ),
    "fields": Whole(
        7,
        q4_1(400) + b"odd",
        "3969ea2b295d6d9327aa49ee0663e93ff7375f7c8b67bd99557041e67eb230e6",
        b"\5" + b"\1\0\0" + b"\1\0\1" + b"\1\0\2" + b"\1\0\3" + b"\x10\0\4",
    ),
    "fields-woven": Whole(
        7,
        noise("iq2_xxs", 66 * 50),
        "2fc2a25485c4111336f6304198708c6fb546dac43d6b1b20b1acc15e552e7844",
        b"\x12" + b"\1\0\0" + b"\1\0\1",
    ),
    "palette-1": Whole(
        8,
        few(1, 2, 3001),
        "274512d25571e043a09f2dc47cb2f43fd859fec389f905461c5a9ce7498b47be",
        b"\1\1",
    ),
    "palette-2": Whole(
        8,
        few(2, 4, 3001) + b"!",
        "534a9b91109b089a944b267e999ccfc17eb3f8a8add4ee681da9cececb8b8164",
        b"\2\3",
    ),
    "palette-4": Whole(
        8,
        few(4, 16, 3001) + b"!!!",
        "814842f4417c151cb2d626793ff7686e83bdb184a1d443c8e519a26f8e09a69b",
        b"\4\x0f",
    ),
    "palette-8": Whole(
        8,
        few(8, 200, 3001) + b"!!!!!!!",
        "7d377de6b601cdad167952217bd25bdd82b71b2b73fa1d18e0a1a129818cf579",
        b"\x08\xba",
    ),
    "repeat": Whole(
        9,
        b"\0\0\x80\x3f" * 700 + b"\0\0",
        "941078f29ad947ab92a013395490fbcd4f426b8bb240bcbba4868b8f8941b9cf",
        b"\0\0\x80\x3f",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_codecs_v1_decode(name: str) -> None:
    golden = OTHERS[name]
    encoded = (GOLDEN / f"codec-{name}-v1.bin").read_bytes()
    assert encoded.startswith(golden.head)
    out = memoryview(bytearray(len(golden.plain)))
    decode(golden.number, encoded, out)
    assert out == golden.plain
    assert blake3.blake3(out).hexdigest() == golden.digest
