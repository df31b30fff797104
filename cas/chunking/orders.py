"""In which order a tensor's elements lie, told by its region's shape.

The same bytes with the same shape are another tensor where they lie in another order: a matrix and
its transpose, columns before rows. So the order stands behind the shape, where it is not the one of
C, in which the last dimension changes fastest.
"""

from collections.abc import Sequence

from .regions import DIMENSIONS


def told(shape: tuple[int, ...], strides: Sequence[int]) -> tuple[int, ...]:
    """What a region says of a tensor whose elements are so far apart: its shape; where they do not
    lie in C's order also a 0, and the dimensions from the slowest to the fastest.

    Dimensions of length 1 have no place in an order. Nothing where it all is longer than a shape
    may be. No shape of elements that are there has a 0 of its own.
    """
    longer = [at for at, length in enumerate(shape) if length != 1]
    order = sorted(longer, key=lambda at: strides[at], reverse=True)
    if order == longer:
        return shape
    found = (*shape, 0, *order)
    return found if len(found) <= DIMENSIONS else ()


def of_columns(shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a region says of an array in Fortran's order: the first dimension changes fastest."""
    return told(shape, range(len(shape)))
