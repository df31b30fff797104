"""A store that holds chunks of every codec comes back from its shards alone."""

import runpy
from pathlib import Path

import numpy as np

from modelfloat.cas.codecs.registry import CODECS
from modelfloat.tests.support.folders import contents
from modelfloat.tests.support.rescuing import SCRIPT, rescue
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.sources import info, safetensors_file
from modelfloat.tests.support.stores import add, fresh_store, shard_files
from modelfloat.tests.support.weights import normal

SIZE = 300_000


def few_values() -> bytes:
    """Words of which there are five, in no order."""
    codes = np.frombuffer(noise("codes", SIZE // 8), np.uint8)
    return (codes.astype("<i8") % 5 * 1_000_003).tobytes()


def tensors() -> dict[str, tuple[str, bytes]]:
    """Element type and bytes of a tensor for every codec."""
    narrow = np.random.default_rng(1).normal(0, 12, SIZE)
    return {
        "raw": ("U8", noise("raw", SIZE)),
        "bf16": ("BF16", normal("bf16", SIZE)),
        "fp16": ("F16", normal("fp16", SIZE)),
        "fp32": ("F32", normal("fp32", SIZE)),
        "fp64": ("F64", normal("fp64", SIZE)),
        "bytes": ("I8", narrow.astype(np.int8).tobytes()),
        "fields": ("I32", (narrow[: SIZE // 4] * 1000).astype("<i4").tobytes()),
        "palette": ("I64", few_values()),
        "repeat": ("F32", bytes(SIZE)),
    }


def model() -> bytes:
    """A safetensors file of them."""
    described, data = {}, b""
    for name, (dtype, body) in tensors().items():
        width = {"U8": 1, "I8": 1, "BF16": 2, "F16": 2, "F64": 8, "I64": 8}.get(dtype, 4)
        described[name] = info(dtype, [len(body) // width], len(data), len(data) + len(body))
        data += body
    return safetensors_file(described, data)


async def test_every_codec(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(model())
    (source / "notes.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(30_000)))
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await add(store, source)
    for shard in [path for i in (0, 1) for path in shard_files(tmp_path / "store", f"d{i}")]:
        shard.unlink()
    backends = sorted((tmp_path / "store" / "backends").iterdir())
    result = rescue(tmp_path / "out", backends)
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "out" / "acme" / "model") == contents(source)
    chunks = runpy.run_path(str(SCRIPT))["Store"]([str(path) for path in backends]).chunks
    used = {codec for (codec,) in chunks.execute("SELECT DISTINCT codec FROM chunk")}
    chunks.close()
    assert used == set(CODECS)
