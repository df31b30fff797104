"""A model that every codec is chosen for: the same everywhere and for ever."""

import numpy as np

from modelfloat.cas.chunking.spans import SMALL_REGION
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.sources import info, safetensors_file
from modelfloat.tests.support.weights import normal

WIDTHS = {"U8": 1, "I8": 1, "BF16": 2, "F16": 2, "F32": 4, "I32": 4, "F64": 8, "I64": 8}


def _few_values(size: int) -> bytes:
    """`size` bytes of words of which there are five, in no order."""
    codes = np.frombuffer(noise("codes", size // 8), np.uint8)
    return (codes.astype("<i8") % 5 * 1_000_003).tobytes()


def tensors(size: int) -> dict[str, tuple[str, bytes]]:
    """Element type and bytes of a tensor for most codecs; `size` bytes each."""
    narrow = np.random.default_rng(1).normal(0, 12, size)
    return {
        "raw": ("U8", noise("raw", size)),
        "bf16": ("BF16", normal("bf16", size)),
        "fp16": ("F16", normal("fp16", size)),
        "fp32": ("F32", normal("fp32", size)),
        "fp64": ("F64", normal("fp64", size)),
        "bytes": ("I8", narrow.astype(np.int8).tobytes()),
        "fields": ("I32", (narrow[: size // 4] * 1000).astype("<i4").tobytes()),
        "palette": ("I64", _few_values(size)),
    }


def model(size: int) -> bytes:
    """A safetensors file of such tensors; between them zeros, so that small ones are not joined."""
    zeros = bytes(SMALL_REGION)
    described, data = {}, b""
    for name, (dtype, body) in tensors(size).items():
        for part, kind, values in (("zeros", "F32", zeros), ("values", dtype, body)):
            count = len(values) // WIDTHS[kind]
            described[f"{name}.{part}"] = info(kind, [count], len(data), len(data) + len(values))
            data += values
    return safetensors_file(described, data)


def many_names() -> list[str]:
    """Names whose table is longer than a manifest takes."""
    return [f"layer {i} {noise(str(i), 40).hex()}" for i in range(400)]


def many() -> bytes:
    """A safetensors file of many tensors of a byte each."""
    names = many_names()
    described = {name: info("U8", [1, 1], i, i + 1) for i, name in enumerate(names)}
    return safetensors_file(described, noise("many", len(names)))
