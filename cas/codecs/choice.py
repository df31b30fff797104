"""The choice of a codec for one chunk: by its element type, and by what a cheap look at it says.

Most chunks of weights are as their type lets expect, which a few hundred words tell; then only the
codec that suits the type is run. Where words come again (zeros, rounded or equal rows) others may
be better, and a sample decides. Nothing is remembered of the chunk before: tensors differ.
"""

from collections.abc import Sequence
from typing import Final

from ..chunking.regions import ElementType
from .candidates import Candidates, candidates
from .codec import Buffer, Codec
from .effort import Effort
from .fields import fields, words
from .look import has_few, repeats, word_size
from .raw import RAW
from .repeat import REPEAT
from .sample import WHOLE_SIZE, is_worth_it, pieces
from .zstd import ZSTD_MATCHES

Encoded = tuple[Codec, Buffer]

_MUCH: Final = 4
"""What shrinks to a quarter is encoded so fast that all can be tried, and a sample misleads."""
_NEAR: Final = 1.25
"""Shares between what a level of zstd gives and what a higher one may: mostly it is 1.1."""
_COLUMNS: Final = {size: fields(words(size)) for size in (2, 4, 8)}


def encode_best(raw: memoryview, element: ElementType, effort: Effort) -> Encoded:
    """A codec and the encoded bytes, at least 3 % shorter than `raw`; or codec raw and `raw`."""
    encoded = REPEAT.encode(raw)
    if encoded is not None and is_worth_it(len(raw), len(encoded)):
        return REPEAT, encoded
    if effort is not Effort.FAST:
        codec, best = _encode_some(raw, element, effort)
        if is_worth_it(len(raw), len(best)):
            return codec, best
    return RAW, raw


def _encode_some(raw: memoryview, element: ElementType, effort: Effort) -> Encoded:
    found = candidates(element, effort)
    if element is ElementType.UNKNOWN:
        size = word_size(raw)
        columns = () if size is None else (_COLUMNS[size],)
        return _better(raw, [*columns, found.general], 8)
    if found.likely is None:
        return _smallest(raw, [found.general])
    if not repeats(raw) and not (element.size == 2 and has_few(raw, 2)):
        return _smallest(raw, [found.likely])
    return _encode_odd(raw, element, effort, found)


def _encode_odd(
    raw: memoryview, element: ElementType, effort: Effort, found: Candidates
) -> Encoded:
    """A chunk that is not as its type lets expect."""
    palette = found.palette if found.palette and has_few(raw, element.size) else None
    codecs = [codec for codec in (found.likely, palette) if codec]
    if effort is Effort.SMALL:
        return _encode_small(raw, codecs, found.general)
    if palette:
        best = _smallest(raw, [*codecs, found.general])
        return best if best[0] is palette else _smallest(raw, [ZSTD_MATCHES], best)
    return _better(raw, [*codecs, found.general, ZSTD_MATCHES], element.size)


def _encode_small(raw: memoryview, codecs: Sequence[Codec], general: Codec) -> Encoded:
    """By the best of all; the slow one is run where a faster one of its kind is not far off."""
    best = _smallest(raw, codecs)
    faster = ZSTD_MATCHES.encode(raw)
    if faster is None or len(faster) > _NEAR * len(best[1]):
        return best
    return _smallest(raw, [general], best)


def _better(raw: memoryview, codecs: Sequence[Codec], unit: int) -> Encoded:
    """By the codec that is best on a sample of whole units of `unit` bytes."""
    if len(codecs) > 1 and len(raw) > WHOLE_SIZE:
        part = pieces(raw, unit)
        lengths = [len(codec.encode(part) or part) for codec in codecs]
        if min(lengths) * _MUCH > len(part):
            codecs = [codecs[lengths.index(min(lengths))]]
    return _smallest(raw, codecs)


def _smallest(raw: memoryview, codecs: Sequence[Codec], others: Encoded | None = None) -> Encoded:
    """By the codec that is best, `others` included; by raw where none saves anything."""
    best: Encoded = others or (RAW, raw)
    for codec in codecs:
        encoded = codec.encode(raw)
        if encoded is not None and len(encoded) < len(best[1]):
            best = codec, encoded
    return best
