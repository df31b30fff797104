"""What every backend and every wrapper must do. A test module subclasses `BackendContract` and
gives a fixture `backend` that yields an open, empty one; see test_backends.py."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

import pytest
import trio

from modelfloat.backends.base import Backend, Buffer, Listed
from modelfloat.backends.bulk import delete_all
from modelfloat.backends.keys import check_key, condemned_key, shard_key
from modelfloat.errors import CorruptAnswerError, KeyExistsError, KeyNotFoundError, UnavailableError
from modelfloat.ids import Key, PackId
from modelfloat.tests.support.sources import noise

KEY = check_key("packs/ab/abcd/0-4-2")
OTHER = check_key("packs/ab/abcd/1-4-2")
BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    "../a",
    "A",
    "a b",
    "é",
    "a\n",
    "a\0",
    "tmp",
    "tmp/a",
    "a" * 201,
]
BAD_PREFIXES = ["/", "a//", "../", "a/../b", "A", "a\n", "a" * 201]


async def listed(backend: Backend, prefix: str = "") -> dict[str, int]:
    """What a listing finds, key to size; a key that comes twice fails."""
    found: list[Listed] = [each async for each in backend.list(prefix)]
    sizes = {each.key: each.size for each in found}
    assert len(sizes) == len(found)
    return {str(key): size for key, size in sizes.items()}


class BackendContract:
    """The checks; each gets an empty backend."""

    async def test_is_a_backend(self, backend: Backend) -> None:
        assert isinstance(backend, Backend)
        assert backend.name == "d0"
        properties = backend.properties
        assert properties.url
        assert properties.domain
        assert properties.concurrency >= 1
        assert properties.latency >= 0

    async def test_no_more_is_got_than_asked_for(self, backend: Backend) -> None:
        """And one byte, which tells that there is more."""
        await backend.put(KEY, [b"0123456789"])
        assert await backend.get(KEY, most=100) == b"0123456789"
        assert await backend.get(KEY, most=10) == b"0123456789"
        assert await backend.get(KEY, most=9) == b"0123456789"
        assert await backend.get(KEY, most=4) == b"01234"
        assert await backend.get(KEY, 3, most=4) == b"34567"
        assert await backend.get(KEY, 8, most=4) == b"89"

    async def test_put_then_get(self, backend: Backend) -> None:
        await backend.put(KEY, [b"hello ", b"world"])
        assert await backend.get(KEY) == b"hello world"
        assert await backend.head(KEY) == 11

    @pytest.mark.parametrize("parts", [[], [b""], [b"", bytearray()]], ids=["no", "one", "two"])
    async def test_empty_values(self, backend: Backend, parts: Sequence[Buffer]) -> None:
        await backend.put(KEY, parts)
        assert await backend.head(KEY) == 0
        assert await backend.get(KEY) == b""
        await backend.get_into(KEY, 0, memoryview(bytearray()))
        assert await listed(backend) == {KEY: 0}

    @pytest.mark.parametrize(
        ("offset", "size"),
        [(0, 0), (0, 1), (0, 10), (3, 4), (9, 1), (10, 0), (4, None), (10, None)],
    )
    async def test_ranges(self, backend: Backend, offset: int, size: int | None) -> None:
        value = b"0123456789"
        await backend.put(KEY, [value])
        wanted = value[offset:] if size is None else value[offset : offset + size]
        assert await backend.get(KEY, offset, size) == wanted
        out = bytearray(b"x" * (len(wanted) + 2))
        await backend.get_into(KEY, offset, memoryview(out)[1:-1])
        assert out == b"x" + wanted + b"x"

    async def test_big_value_of_many_parts_of_all_kinds(self, backend: Backend) -> None:
        value = noise(1, 3 * 1024 * 1024 + 17)
        view = memoryview(value)
        kinds: tuple[Callable[[memoryview], Buffer], ...] = (bytes, bytearray, memoryview)
        cuts = range(0, len(value), 1021)
        parts = [kinds[i % 3](view[cut : cut + 1021]) for i, cut in enumerate(cuts)]
        parts[100:100] = [b"", memoryview(b"")]
        await backend.put(KEY, parts)
        assert await backend.get(KEY) == value
        out = bytearray(2 * 1024 * 1024)
        await backend.get_into(KEY, 1_000_001, memoryview(out))
        assert out == view[1_000_001 : 1_000_001 + len(out)]

    async def test_value_is_independent_of_the_parts(self, backend: Backend) -> None:
        part = bytearray(b"before")
        await backend.put(KEY, [part])
        part[:] = b"after!"
        assert await backend.get(KEY) == b"before"

    async def test_parts_and_buffers_of_wider_items(self, backend: Backend) -> None:
        await backend.put(KEY, [memoryview(b"01234567").cast("I"), b"89"])
        out = bytearray(8)
        await backend.get_into(KEY, 2, memoryview(out).cast("Q"))
        assert out == b"23456789"

    @pytest.mark.parametrize("size", [0, 3, 100])
    async def test_put_replaces(self, backend: Backend, size: int) -> None:
        await backend.put(KEY, [b"first value"])
        await backend.put(KEY, [b"x" * size])
        assert await backend.get(KEY) == b"x" * size
        assert await listed(backend) == {KEY: size}

    async def test_if_absent_keeps_what_is_there(self, backend: Backend) -> None:
        await backend.put(KEY, [b"first"], if_absent=True)
        with pytest.raises(KeyExistsError, match="d0") as caught:
            await backend.put(KEY, [b"second"], if_absent=True)
        assert (caught.value.backend, caught.value.key) == ("d0", KEY)
        assert await backend.get(KEY) == b"first"
        assert await listed(backend) == {KEY: 5}

    async def test_race_for_one_key_has_one_winner(self, backend: Backend) -> None:
        if not backend.properties.conditional_put:
            pytest.skip("this backend does not decide conditional puts")
        won: list[bytes] = []
        lost: list[bytes] = []

        async def race(number: int) -> None:
            value = b"%03d" % number * 500
            try:
                await backend.put(KEY, [value], if_absent=True)
            except KeyExistsError:
                lost.append(value)
            else:
                won.append(value)

        async with trio.open_nursery() as nursery:
            for number in range(24):
                nursery.start_soon(race, number)
        assert len(won) == 1
        assert len(lost) == 23
        assert await backend.get(KEY) == won[0]

    async def test_delete_can_be_repeated(self, backend: Backend) -> None:
        await backend.delete(KEY)
        await backend.put(KEY, [b"a"])
        await backend.put(OTHER, [b"b"])
        for _ in range(2):
            await backend.delete(KEY)
            with pytest.raises(KeyNotFoundError):
                await backend.head(KEY)
            assert await listed(backend) == {OTHER: 1}
        await backend.put(KEY, [b"again"], if_absent=True)
        assert await backend.get(KEY) == b"again"

    async def test_many_are_deleted_at_once(self, backend: Backend) -> None:
        packs = [PackId(bytes([number] * 16)) for number in range(15)]
        keys = [shard_key(pack, 0, 4, 2) for pack in packs] + [condemned_key(p) for p in packs]
        await backend.put(OTHER, [b"stays"])
        for key in keys[5:25]:
            await backend.put(key, [b"goes"])
        calls: list[None] = []
        told = await delete_all(backend, keys, lambda: calls.append(None), lambda _: True)
        assert told == {}
        assert len(calls) in (1, len(keys), len(keys) + 1)
        assert await listed(backend) == {OTHER: 5}
        # One is a folder of others, one would be below a key.
        odd = [check_key("packs/ab"), check_key(f"{OTHER}/below"), *keys]
        assert await delete_all(backend, odd, lambda: None, lambda _: True) == {}
        assert await listed(backend) == {OTHER: 5}

    async def test_list_by_prefix(self, backend: Backend) -> None:
        sizes = {"modelfloat.json": 5, "packs/ab/x/0-1-0": 1, "packs/ab/y/0-1-0": 2}
        sizes |= {"packs/ac/z/0-1-0": 3, "journal/w/1-0": 4}
        for key, size in sizes.items():
            await backend.put(check_key(key), [b"x" * size])
        assert await listed(backend) == sizes
        prefixes = ["m", "packs", "packs/", "packs/ab", "packs/ab/", "packs/ab/x/0-1-0", "j", "z"]
        for prefix in [*prefixes, "packs/zz/", "modelfloat.json/", "packs/ab/x/0-1-0/", ".", "t"]:
            wanted = {key: size for key, size in sizes.items() if key.startswith(prefix)}
            assert await listed(backend, prefix) == wanted, prefix

    async def test_list_nothing(self, backend: Backend) -> None:
        assert await listed(backend) == {}
        assert await listed(backend, "packs/") == {}

    async def test_list_can_be_left_early(self, backend: Backend) -> None:
        for number in range(5):
            await backend.put(check_key(f"k/{number}"), [b"x"])
        async with aclosing(backend.list()) as listing:
            first = await anext(listing)
        assert first.size == 1
        assert len(await listed(backend)) == 5

    async def test_missing_keys(self, backend: Backend) -> None:
        await backend.put(OTHER, [b"x"])
        for call in (
            lambda: backend.head(KEY),
            lambda: backend.age(KEY),
            lambda: backend.get(KEY),
            lambda: backend.get(KEY, 0, 5),
            lambda: backend.get(KEY, 0, 0),
            lambda: backend.get_into(KEY, 0, memoryview(bytearray(5))),
            lambda: backend.get_into(KEY, 0, memoryview(bytearray())),
            lambda: backend.head(check_key("packs/ab")),
            lambda: backend.get(check_key("packs/ab"), 0, 1),
            lambda: backend.get_into(check_key("packs/ab"), 0, memoryview(bytearray())),
            lambda: backend.head(check_key(f"{OTHER}/below")),
        ):
            with pytest.raises(KeyNotFoundError, match="d0") as caught:
                await call()
            assert caught.value.backend == "d0"

    async def test_ages_grow_and_begin_anew(self, backend: Backend) -> None:
        await backend.put(KEY, [b"one"])
        assert 0 <= await backend.age(KEY) < 600
        await backend.put(OTHER, [b"two"])
        younger = await backend.age(OTHER)
        assert 0 <= younger <= await backend.age(KEY)
        await backend.put(KEY, [b"three"])
        younger = await backend.age(KEY)
        assert 0 <= younger <= await backend.age(OTHER)

    async def test_deleting_a_folder_of_keys_removes_none(self, backend: Backend) -> None:
        await backend.put(OTHER, [b"x"])
        await backend.delete(check_key("packs/ab"))
        await backend.delete(check_key(f"{OTHER}/below"))
        assert await listed(backend) == {OTHER: 1}

    @pytest.mark.parametrize(("offset", "size"), [(0, 11), (5, 6), (10, 1), (11, 0), (99, 1)])
    async def test_short_reads_are_errors(self, backend: Backend, offset: int, size: int) -> None:
        await backend.put(KEY, [b"0123456789"])
        with pytest.raises(CorruptAnswerError, match="d0") as caught:
            await backend.get(KEY, offset, size)
        assert (caught.value.backend, caught.value.key) == ("d0", KEY)
        with pytest.raises(CorruptAnswerError):
            await backend.get_into(KEY, offset, memoryview(bytearray(size)))

    async def test_rest_behind_the_end_is_an_error(self, backend: Backend) -> None:
        await backend.put(KEY, [b"0123456789"])
        with pytest.raises(CorruptAnswerError):
            await backend.get(KEY, 11)

    async def test_negative_offsets_are_refused(self, backend: Backend) -> None:
        await backend.put(KEY, [b"0123456789"])
        with pytest.raises(ValueError, match="negative"):
            await backend.get(KEY, -1)
        with pytest.raises(ValueError, match="negative"):
            await backend.get(KEY, -1, 1)
        with pytest.raises(ValueError, match="negative"):
            await backend.get_into(KEY, -1, memoryview(bytearray(1)))

    @pytest.mark.parametrize("text", BAD_KEYS)
    async def test_bad_keys_are_refused(self, backend: Backend, text: str) -> None:
        key = Key(text)
        for call in (
            lambda: backend.put(key, [b"x"]),
            lambda: backend.put(key, [b"x"], if_absent=True),
            lambda: backend.get(key),
            lambda: backend.get_into(key, 0, memoryview(bytearray(1))),
            lambda: backend.head(key),
            lambda: backend.age(key),
            lambda: backend.delete(key),
        ):
            with pytest.raises(ValueError, match="key"):
                await call()
        assert await listed(backend) == {}

    @pytest.mark.parametrize("prefix", BAD_PREFIXES)
    async def test_bad_prefixes_are_refused(self, backend: Backend, prefix: str) -> None:
        with pytest.raises(ValueError, match="key"):
            await listed(backend, prefix)

    async def test_longest_and_oddest_keys(self, backend: Backend) -> None:
        keys = ["a" * 200, "-", "...", ".a/b..c/_", "0/" * 99 + "0", "a/tmp", "tmp.x", "tmpx/y"]
        for key in keys:
            await backend.put(check_key(key), [key.encode()])
        for key in keys:
            assert await backend.get(check_key(key)) == key.encode()
        assert set(await listed(backend)) == set(keys)

    async def test_cancelled_before_it_began(self, backend: Backend) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await backend.put(KEY, [b"x"])
        assert scope.cancelled_caught
        assert await listed(backend) == {}

    @pytest.mark.parametrize("if_absent", [False, True])
    async def test_cancelled_put_is_all_or_nothing(self, backend: Backend, if_absent: bool) -> None:
        value = noise(2, 1024 * 1024)
        keys = [check_key(f"c/{number}") for number in range(12)]
        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(lambda k=key: backend.put(k, [value], if_absent=if_absent))
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        for size in (await listed(backend)).values():
            assert size == len(value)
        for key in keys:
            await backend.put(key, [b"again"])
            if (found := await backend.get(key)) == b"again":
                continue
            # It was cancelled too late, and carried out only now: once, in whole.
            assert found == value
            assert not (if_absent and backend.properties.conditional_put)
            await backend.put(key, [b"again"])
            assert await backend.get(key) == b"again"

    async def test_cancelled_get_leaves_the_backend_working(self, backend: Backend) -> None:
        value = noise(2, 1024 * 1024)
        await backend.put(KEY, [value])
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                out = memoryview(bytearray(len(value)))
                nursery.start_soon(backend.get_into, KEY, 0, out)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert await backend.get(KEY) == value

    async def test_concurrent_puts(self, backend: Backend) -> None:
        values = {check_key(f"packs/{n % 5:02x}/{n}"): noise(n, n * 100) for n in range(40)}
        async with trio.open_nursery() as nursery:
            for key, value in values.items():
                nursery.start_soon(backend.put, key, [value])
        for key, value in values.items():
            assert await backend.get(key) == value

    async def test_readers_of_a_key_that_is_replaced_see_one_value(self, backend: Backend) -> None:
        values = [bytes([n]) * 70_000 for n in range(10)]
        await backend.put(KEY, [values[0]])
        done = trio.Event()

        async def read() -> None:
            while not done.is_set():
                try:
                    assert await backend.get(KEY, 0, 70_000) in values
                except (KeyNotFoundError, UnavailableError):
                    assert not backend.properties.atomic_replace

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for value in values:
                await backend.put(KEY, [value])
            done.set()

    async def test_puts_and_deletes_in_one_folder(self, backend: Backend) -> None:
        async def work(number: int) -> None:
            key = check_key(f"packs/ab/shared/{number}")
            for _ in range(5):
                await backend.put(key, [b"x"])
                await backend.delete(key)
            await backend.put(key, [b"last"])

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(work, number)
        assert await listed(backend) == {f"packs/ab/shared/{n}": 4 for n in range(6)}

    async def test_usage(self, backend: Backend) -> None:
        usage = await backend.usage()
        if usage.free is not None and usage.total is not None:
            assert 0 <= usage.free <= usage.total
