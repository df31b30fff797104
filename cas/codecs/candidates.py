"""Which codecs suit which element type, at which effort."""

from dataclasses import dataclass
from typing import Final

from ..chunking.regions import ElementType
from .codec import Codec
from .effort import Effort
from .fields import SMALL_SAVING, fields, words
from .floats import BF16, BF16_SMALL, FP16, FP32, FP64
from .layouts import LAYOUTS
from .palette import PALETTES
from .single import BYTES
from .zstd import ZSTD, ZSTD_SMALL


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may make a chunk smaller.

    `likely` is for chunks that are as the type lets expect; None where nothing is. `palette` is
    for chunks of few words, `general` for all that repeats in some order.
    """

    likely: Codec | None
    palette: Codec | None
    general: Codec


_T = ElementType
_LIKELY: Final = {
    _T.BF16: BF16,
    _T.F16: FP16,
    **dict.fromkeys((_T.F32, _T.C64), FP32),
    **dict.fromkeys((_T.F64, _T.C128), FP64),
    **dict.fromkeys((_T.I16, _T.U16), fields(words(2))),
    **dict.fromkeys((_T.I32, _T.U32), fields(words(4))),
    **dict.fromkeys((_T.I64, _T.U64), fields(words(8))),
    **{type_: fields(layout) for type_, layout in LAYOUTS.items()},
    **dict.fromkeys((_T.I8, _T.U8, _T.F8_E4M3, _T.F8_E5M2, _T.F8_E4M3FNUZ, _T.F8_E5M2FNUZ), BYTES),
    **dict.fromkeys((_T.F8_E8M0, _T.F4, _T.I4, _T.U4, _T.F6_E2M3, _T.F6_E3M2, _T.BOOL), BYTES),
}
"""For a complex number its two floats."""
_SMALL: Final = {
    _T.BF16: BF16_SMALL,
    **{type_: fields(layout, SMALL_SAVING) for type_, layout in LAYOUTS.items()},
}
"""What takes longer, and saves a little more."""


def candidates(element: ElementType, effort: Effort) -> Candidates:
    """The codecs for chunks of one type."""
    small = effort is Effort.SMALL
    likely = _LIKELY.get(element)
    if small:
        likely = _SMALL.get(element, likely)
    palette = PALETTES.get(element.size) if likely and not element.quantised else None
    return Candidates(likely, palette, ZSTD_SMALL if small else ZSTD)
