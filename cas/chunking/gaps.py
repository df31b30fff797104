"""From the tensors that a file tells of to regions that cover it: what lies between them too."""

from collections.abc import Iterable, Iterator

from .regions import ElementType, Region


def filled(tensors: Iterable[Region], end: int, marks: Iterable[int] = ()) -> list[Region]:
    """`tensors`, sorted by offset, and between them nameless regions of BYTES, up to `end`.

    What lies between is cut at the sorted `marks` as well. ValueError where two tensors overlap,
    or one has no bytes or lies beyond `end`.
    """
    regions: list[Region] = []
    position, cuts = 0, list(marks)[::-1]
    for tensor in tensors:
        if tensor.offset < position or tensor.size <= 0 or tensor.offset + tensor.size > end:
            raise ValueError(f"tensor {tensor.name!r} overlaps another, or lies outside the file")
        regions += _between(position, tensor.offset, cuts)
        regions.append(tensor)
        position = tensor.offset + tensor.size
    regions += _between(position, end, cuts)
    return regions


def _between(start: int, end: int, cuts: list[int]) -> Iterator[Region]:
    """Nameless regions from `start` to `end`; takes the `cuts` up to there, the first is last."""
    while cuts and cuts[-1] < end:
        cut = cuts.pop()
        if cut > start:
            yield Region(start, cut - start, ElementType.BYTES)
            start = cut
    if end > start:
        yield Region(start, end - start, ElementType.BYTES)
