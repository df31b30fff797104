"""What earlier releases encoded decodes to the same bytes for ever."""

from pathlib import Path

import blake3
import zstandard

from modelfloat.cas.codecs.registry import decode

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
