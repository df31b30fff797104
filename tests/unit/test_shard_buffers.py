"""Memory for whole shards: used again, of the size that is asked for, never shared."""

import pytest

from modelfloat.cas.verify.shardbuffers import STEP, ShardBuffers


@pytest.mark.parametrize("size", [1, STEP - 1, STEP, 2 * STEP + 1, 5 << 20, 16_800_000, 17 << 20])
def test_it_has_the_size_that_was_asked_for(size: int) -> None:
    view = ShardBuffers().take(size)
    assert len(view) == size
    view[-1] = 7


def test_what_nobody_has_any_more_is_given_out_again() -> None:
    buffers = ShardBuffers()
    first = buffers.take(5 << 20)
    first[:3] = b"abc"
    del first
    assert bytes(buffers.take(5 << 20)[:3]) == b"abc"


def test_two_that_are_out_are_two() -> None:
    buffers = ShardBuffers()
    first, second = buffers.take(5 << 20), buffers.take(5 << 20)
    first[:1], second[:1] = b"a", b"b"
    assert (bytes(first[:1]), bytes(second[:1])) == (b"a", b"b")


def test_another_size_does_not_touch_what_is_out() -> None:
    buffers = ShardBuffers()
    first = buffers.take(5 << 20)
    first[:1] = b"a"
    for size in (17 << 20, 5 << 20, 3 << 20):
        buffers.take(size)[:1] = b"b"
    assert bytes(first[:1]) == b"a"
