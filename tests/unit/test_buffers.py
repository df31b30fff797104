"""Pooled buffers: used again when the last view is gone, from whatever thread."""

import threading

from modelfloat.cas.buffers import BufferPool, SizedBuffers

SIZE = 1 << 16


def slots_of(pool: BufferPool, count: int) -> int:
    """How many of `count` slots taken now carry the mark that earlier ones were given."""
    views = [pool.take() for _ in range(count)]
    return sum(bytes(view[:4]) == b"mark" for view in views)


def test_a_slot_is_used_again_when_its_last_view_is_gone() -> None:
    pool = BufferPool(SIZE, 2)
    view = pool.take()
    view[:4] = b"mark"
    part = view[:10]
    del view
    assert slots_of(pool, 1) == 0
    assert bytes(part[:4]) == b"mark"
    del part
    assert slots_of(pool, 2) == 1


def test_no_more_slots_are_kept_than_asked_for() -> None:
    pool = BufferPool(SIZE, 2)
    views = [pool.take() for _ in range(5)]
    for view in views:
        view[:4] = b"mark"
    del view
    views.clear()
    assert slots_of(pool, 5) == 2


def test_threads_never_share_a_slot() -> None:
    pool = BufferPool(SIZE, 3)
    failures: list[str] = []

    def work(number: int) -> None:
        mark = bytes([number]) * SIZE
        for _ in range(200):
            view = pool.take()
            view[:] = mark
            if view != mark:
                failures.append(f"thread {number} found another thread's bytes")
            del view

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_slot_is_given_only_where_it_is_filled_at_least_half() -> None:
    buffers = SizedBuffers(SIZE, SIZE // 4, count=1)
    for size, held in [(SIZE, SIZE), (SIZE // 2 + 1, SIZE), (SIZE // 2, SIZE // 2), (9, 9)]:
        view = buffers.take(size)
        assert len(view) == size
        assert memoryview(view.obj).nbytes == held
    assert memoryview(buffers.take(SIZE // 4 - 5).obj).nbytes == SIZE // 4
    assert len(buffers.take(2 * SIZE)) == 2 * SIZE


def test_only_what_is_made_already_is_taken_without_making_it() -> None:
    buffers = SizedBuffers(SIZE, count=1)
    few = buffers.take_made(SIZE // 2)  # too few bytes for a slot
    assert few is not None
    assert len(few) == SIZE // 2
    assert buffers.take_made(SIZE) is None
    view = buffers.take(SIZE)
    view[:4] = b"mark"
    assert buffers.take_made(SIZE) is None
    del view
    again = buffers.take_made(SIZE - 1)
    assert again is not None
    assert (len(again), bytes(again[:4])) == (SIZE - 1, b"mark")
    assert buffers.take_made(SIZE) is None
