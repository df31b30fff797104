"""How the blocks of ggml's quantised types are laid out for the codec `fields`.

The structs of ggml/src/ggml-common.h of https://github.com/ggml-org/ggml, with what belongs
together as one plane: an FP16 scale's upper byte, which hardly varies, apart from its lower one;
block scales apart from quants; grid indexes apart from signs. Grouped as it pays on real weights
that ggml itself quantised (`docs/decisions/0015-quantised-blocks.md`). Types whose quants are as
good as random and whose scales are too few to matter are not here: Q3_K, Q5_K, IQ1_S, IQ1_M.
"""

from typing import Final

from ..chunking.regions import ElementType
from .fields import Layout

_HALF: Final = ((1, 0), (1, 1))
"""An FP16 scale, its lower byte first."""
_HALVES: Final = (*_HALF, (1, 2), (1, 3))
"""A scale and a minimum: they vary alike, but in ranges of their own."""

LAYOUTS: Final = {
    ElementType.Q4_0: Layout.of(*_HALF, (16, 2)),
    ElementType.Q4_1: Layout.of(*_HALVES, (16, 4)),
    ElementType.Q5_0: Layout.of(*_HALF, (20, 2)),
    ElementType.Q5_1: Layout.of(*_HALVES, (20, 4)),
    ElementType.Q8_0: Layout.of(*_HALF, (32, 2)),
    ElementType.Q2_K: Layout.of((16, 4), (64, 5), *_HALVES),
    ElementType.Q4_K: Layout.of(*_HALVES, (4, 4), (4, 5), (4, 6), (128, 7)),
    ElementType.Q6_K: Layout.of((128, 2), (64, 3), (16, 4), *_HALF),
    # Of eight bytes four index the grid, four hold signs and a scale.
    ElementType.IQ2_XXS: Layout.of(*_HALF, *((4, 2), (4, 3)) * 8),
    # Of two bytes nine bits index the grid, seven are signs.
    ElementType.IQ2_XS: Layout.of(*_HALF, *((1, 2), (1, 3)) * 32, (8, 4)),
    ElementType.IQ2_S: Layout.of(*_HALF, (32, 2), (32, 3), (8, 4), (8, 5)),
    ElementType.IQ3_XXS: Layout.of(*_HALF, (64, 2), (32, 3)),
    ElementType.IQ3_S: Layout.of(*_HALF, (64, 2), (8, 3), (32, 4), (4, 5)),
    ElementType.IQ4_NL: Layout.of(*_HALF, (16, 2)),
    ElementType.IQ4_XS: Layout.of(*_HALF, (2, 2), (4, 3), (128, 4)),
    ElementType.TQ1_0: Layout.of((48, 2), (4, 3), *_HALF),
    ElementType.TQ2_0: Layout.of((64, 2), *_HALF),
    ElementType.MXFP4: Layout.of((1, 0), (16, 1)),
    ElementType.NVFP4: Layout.of((4, 0), (32, 1)),
    ElementType.Q1_0: Layout.of(*_HALF, (16, 2)),
}
