"""A cached file: nothing is served that does not verify, nothing is noted that is not durable."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from blake3 import blake3

from modelfloat.cas.cache import cachedfile, mapfile
from modelfloat.cas.cache.cachedfile import CachedFile, open_cached
from modelfloat.cas.cache.datafile import DATA, cached_name, seal_of
from modelfloat.cas.cache.folder import CacheFolder
from modelfloat.cas.cache.mapfile import MAP, MapFile
from modelfloat.cas.cache.survey import survey
from modelfloat.cas.formats.cachemap import (
    PAGE_BITS,
    SLOT,
    MapHead,
    Seal,
    decode_head,
    encode_head,
    slot_offset,
)
from modelfloat.errors import ChunkDamagedError, FormatError
from modelfloat.ids import ChunkId
from modelfloat.tests.support.samples import STORE, noise

RAW = 5000


class Piece(NamedTuple):
    number: int
    offset: int
    raw: int
    id: ChunkId


CONTENT = noise("cached", 10 * RAW - 1234)
CHUNKS = [CONTENT[at : at + RAW] for at in range(0, len(CONTENT), RAW)]
PIECES = [
    Piece(n, n * RAW, len(chunk), ChunkId(blake3(chunk).digest())) for n, chunk in enumerate(CHUNKS)
]
HEAD = MapHead(len(CONTENT), len(CHUNKS), blake3(CONTENT).digest(), blake3(b"cut").digest())


def opened(folder: Path, head: MapHead = HEAD) -> CachedFile:
    file = open_cached(str(folder), head)
    assert file is not None
    return file


def put(file: CachedFile, *numbers: int) -> None:
    for number in numbers:
        file.put(PIECES[number], memoryview(CHUNKS[number]))


def fetched(file: CachedFile, *numbers: int) -> list[bytes | None]:
    """Those chunks, None for what is not there."""
    pieces = [PIECES[number] for number in numbers]
    buffer = memoryview(bytearray(sum(piece.raw for piece in pieces)))
    found, at, read = [], 0, file.read(pieces, buffer)
    for piece, there in zip(pieces, read, strict=True):
        found.append(bytes(buffer[at : at + piece.raw]) if there else None)
        at += piece.raw
    return found


def data_path(folder: Path) -> Path:
    return folder / (cached_name(HEAD) + DATA)


def map_path(folder: Path) -> Path:
    return folder / (cached_name(HEAD) + MAP)


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def complete(folder: Path) -> CachedFile:
    file = opened(folder)
    put(file, *range(len(CHUNKS)))
    assert file.seal(PIECES)
    return file


def test_what_was_put_is_read_back(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert not file.has(0)
    put(file, 2, 3, 9)
    assert (file.has(2, 2), file.has(2, 3), file.has(9), file.missing) == (True, False, True, 7)
    assert fetched(file, 1, 2, 3, 9) == [None, CHUNKS[2], CHUNKS[3], CHUNKS[9]]
    assert not file.put(PIECES[2], memoryview(CHUNKS[2]))


def test_only_what_was_flushed_is_there_after_a_crash(tmp_path: Path) -> None:
    """A process that is killed leaves its bytes in the file, but the map does not tell of them."""
    file = opened(tmp_path)
    put(file, 1)
    file.flush()
    put(file, 2)
    del file
    assert fetched(opened(tmp_path), 1, 2) == [CHUNKS[1], None]


def test_bytes_are_durable_before_the_map_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path)
    put(file, 1, 4)
    seen: list[list[bytes | None]] = []

    def sync(fd: int) -> None:
        seen.append(fetched(opened(tmp_path), 1, 4))

    monkeypatch.setattr(os, "fdatasync", sync)
    file.flush()
    assert seen == [[None, None]]
    assert fetched(opened(tmp_path), 1, 4) == [CHUNKS[1], CHUNKS[4]]


@pytest.mark.parametrize("failing", ["fdatasync", "pwrite"])
def test_what_cannot_be_made_durable_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    file = opened(tmp_path)
    put(file, 0)
    file.flush()
    put(file, 1)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(OSError, match="No space"):
            file.flush()
    assert not file.has(1)
    file.flush()
    assert fetched(opened(tmp_path), 0, 1) == [CHUNKS[0], None]
    put(file, 1)
    file.flush()
    assert fetched(opened(tmp_path), 0, 1) == [CHUNKS[0], CHUNKS[1]]


def test_a_damaged_chunk_is_never_served_and_is_forgotten(tmp_path: Path) -> None:
    file = complete(tmp_path)
    overwrite(data_path(tmp_path), 3 * RAW + 7, b"\0\0\0\0")
    assert fetched(file, 2, 3) == [CHUNKS[2], None]
    assert (file.has(3), file.complete, file.backing()) == (False, False, None)
    file.flush()
    again = opened(tmp_path)
    assert (again.missing, again.backing()) == (1, None)
    put(again, 3)
    assert again.seal(PIECES)
    assert again.backing() is not None


def test_a_sealed_file_is_the_file(tmp_path: Path) -> None:
    for file in (complete(tmp_path), opened(tmp_path)):
        fd = file.backing()
        assert fd is not None
        assert os.pread(fd, len(CONTENT) + 1, 0) == CONTENT
        file.close()
        assert file.backing() is None


def test_a_complete_file_is_not_passed_on_before_it_was_read_back(tmp_path: Path) -> None:
    file = opened(tmp_path)
    put(file, *range(len(CHUNKS)))
    assert (file.complete, file.backing()) == (True, None)
    overwrite(data_path(tmp_path), 5 * RAW, b"damage")
    assert not file.seal(PIECES)
    assert (file.backing(), file.missing) == (None, 1)


def touch(path: Path) -> None:
    os.utime(path)


def write_same(path: Path) -> None:
    overwrite(path, 0, CONTENT[:1])


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


@pytest.mark.parametrize("meddle", [touch, write_same, cut_short, replace])
def test_a_file_that_was_touched_is_verified_anew(
    tmp_path: Path, meddle: Callable[[Path], None]
) -> None:
    """Another process's writes are of verified bytes; but who knows who it was?"""
    complete(tmp_path).close()
    meddle(data_path(tmp_path))
    file = opened(tmp_path)
    assert (file.complete, file.backing()) == (True, None)
    assert file.seal(PIECES) == (meddle is not cut_short)
    assert (file.backing() is None) == (meddle is cut_short)


def test_a_file_that_is_written_to_while_it_is_read_back_is_not_sealed(tmp_path: Path) -> None:
    file = opened(tmp_path)
    put(file, *range(len(CHUNKS)))
    left = iter(range(5))

    def check() -> None:
        if next(left, None) == 4:
            os.utime(data_path(tmp_path), (1, 1))

    assert not file.seal(PIECES, check)
    assert file.backing() is None
    assert file.seal(PIECES)


def test_pieces_that_leave_a_gap_seal_nothing(tmp_path: Path) -> None:
    file = opened(tmp_path)
    put(file, *range(len(CHUNKS)))
    assert not file.seal(PIECES[:-1])
    assert not file.seal(PIECES[1:])
    assert file.seal(PIECES)


def test_two_processes_fill_one_file(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    put(one, 0, 1, 2)
    put(other, 2, 3)
    one.flush()
    other.flush()
    assert (one.missing, other.missing) == (7, 8)
    one.refresh()
    assert one.missing == 6
    put(one, 4, 5, 6, 7, 8, 9)
    assert one.seal(PIECES)
    other.refresh()
    assert (other.missing, other.backing() is None) == (0, False)


def test_what_one_drops_the_other_notices(tmp_path: Path) -> None:
    one = complete(tmp_path)
    other = opened(tmp_path)
    overwrite(data_path(tmp_path), 0, b"damage")
    assert fetched(one, 0) == [None]
    one.flush()
    other.refresh()
    assert other.backing() is None
    assert fetched(other, 0) == [None]


def rotten(folder: Path) -> CachedFile:
    """A sealed file of which the disk has garbled a chunk without a trace."""
    file = complete(folder)
    overwrite(data_path(folder), 3 * RAW + 7, b"\0\0\0\0")
    data = os.open(data_path(folder), os.O_RDONLY)
    MapFile(str(map_path(folder)), HEAD).set_seal(seal_of(data))
    os.close(data)
    file.refresh()
    assert file.backing() is not None
    return file


def meanwhile(monkeypatch: pytest.MonkeyPatch, method: str, work: Callable[[], object]) -> None:
    """Have another thread do that, once, after a method of the map has read or written it."""
    usual, left = getattr(MapFile, method), [work]

    def overtaken(*arguments: object) -> object:
        found = usual(*arguments)
        if left:
            left.pop()()
        return found

    monkeypatch.setattr(MapFile, method, overtaken)


def test_what_is_dropped_while_others_work_is_looked_at_stays_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rotten(tmp_path)

    def drop() -> None:
        assert fetched(file, 3) == [None]
        file.flush()

    meanwhile(monkeypatch, "seal", drop)
    file.refresh()
    assert (file.missing, file.sealed, file.backing()) == (1, False, None)
    file.refresh()
    assert (file.missing, file.backing()) == (1, None)


def test_what_is_being_told_as_dropped_stays_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map still has the bit, and nobody else remembers that the chunk is damaged."""
    file = rotten(tmp_path)
    assert fetched(file, 3) == [None]
    change = MapFile.change

    def late(*arguments: Any) -> None:
        file.refresh()
        change(*arguments)

    monkeypatch.setattr(MapFile, "change", late)
    file.flush()
    assert (file.missing, file.backing()) == (1, None)


def test_a_chunk_dropped_after_it_was_read_back_is_not_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(tmp_path)
    put(file, *range(len(CHUNKS)))
    left = iter(range(len(CHUNKS)))

    def check() -> None:
        if next(left) == len(CHUNKS) - 1:
            with monkeypatch.context() as patched:
                patched.setattr(os, "preadv", lambda *_: 0)
                assert fetched(file, 3) == [None]
            file.flush()
            put(file, 3)  # of what was there nothing else is left

    # Whatever else would tell: a clock that is too coarse for it.
    monkeypatch.setattr(cachedfile, "seal_of", lambda _: Seal(1, 2, 3, 4))
    assert not file.seal(PIECES, check)
    assert file.backing() is None
    assert MapFile(str(map_path(tmp_path)), HEAD).seal() is None


def test_a_seal_is_void_although_the_drop_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rotten(tmp_path)
    assert fetched(file, 3) == [None]

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", fail)
        with pytest.raises(OSError, match="No space"):
            file.flush()
    file.close()
    assert opened(tmp_path).backing() is None


def test_what_is_read_back_is_what_the_disk_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what memory has of it: that goes when the bytes are durable, and before they are read."""
    file, done = opened(tmp_path), []
    put(file, *range(len(CHUNKS)))

    def noting(name: str) -> None:
        usual = getattr(os, name)

        def noted(*arguments: object) -> object:
            done.append((name, *arguments[1:]) if name == "posix_fadvise" else (name,))
            return usual(*arguments)

        monkeypatch.setattr(os, name, noted)

    for name in ("fsync", "posix_fadvise", "preadv"):
        noting(name)
    assert file.seal(PIECES)
    assert done[:3] == [("fsync",), ("posix_fadvise", 0, 0, os.POSIX_FADV_DONTNEED), ("preadv",)]
    assert len(done) == 2 + len(PIECES)


def test_a_damaged_page_leaves_the_state_before_it(tmp_path: Path) -> None:
    """What is torn is the later slot; the earlier one stands."""
    file = opened(tmp_path)
    put(file, 0, 1)
    file.flush()
    put(file, 2)
    file.flush()
    overwrite(map_path(tmp_path), slot_offset(1, 2) + 20, b"torn")
    assert fetched(opened(tmp_path), 0, 1, 2) == [CHUNKS[0], CHUNKS[1], None]
    put(file, 3)
    file.flush()
    assert fetched(opened(tmp_path), 0, 2, 3) == [CHUNKS[0], None, CHUNKS[3]]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\0" * 3 * SLOT, b"MFLTCMAP" + b"\1" * SLOT])
def test_a_damaged_map_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    complete(tmp_path).close()
    map_path(tmp_path).write_bytes(damage)
    file = opened(tmp_path)
    assert (file.missing, file.backing()) == (len(CHUNKS), None)
    put(file, 4)
    file.flush()
    assert fetched(opened(tmp_path), 3, 4) == [None, CHUNKS[4]]


def test_every_bit_of_a_map_may_flip(tmp_path: Path) -> None:
    """What is served is right, or fetched; a seal that was damaged seals nothing."""
    complete(tmp_path).close()
    whole = map_path(tmp_path).read_bytes()
    for at in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        map_path(tmp_path).write_bytes(damaged)
        try:
            file = opened(tmp_path)
        except FormatError:
            continue
        for found, right in zip(fetched(file, 0, 9), (CHUNKS[0], CHUNKS[9]), strict=True):
            assert found in (None, right)
        fd = file.backing()
        assert fd is None or os.pread(fd, len(CONTENT), 0) == CONTENT


def test_another_files_map_is_no_map(tmp_path: Path) -> None:
    complete(tmp_path).close()
    other = MapHead(HEAD.size, HEAD.chunks, HEAD.blake3, blake3(b"other cut").digest())
    os.rename(map_path(tmp_path), tmp_path / (cached_name(other) + MAP))
    assert opened(tmp_path, other).missing == len(CHUNKS)


def test_a_newer_releases_map_is_refused(tmp_path: Path) -> None:
    complete(tmp_path).close()
    data = bytearray(map_path(tmp_path).read_bytes())
    data[8] = 2
    data[104:136] = blake3(data[:104]).digest()
    map_path(tmp_path).write_bytes(data)
    with pytest.raises(FormatError, match="upgrade"):
        opened(tmp_path)
    assert map_path(tmp_path).read_bytes() == data


def test_a_file_under_deletion_is_not_opened(tmp_path: Path) -> None:
    complete(tmp_path).close()
    fd = os.open(data_path(tmp_path), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert open_cached(str(tmp_path), HEAD) is None
    os.close(fd)
    assert opened(tmp_path).complete


def test_an_open_file_cannot_be_locked_for_deletion(tmp_path: Path) -> None:
    file = complete(tmp_path)
    fd = os.open(data_path(tmp_path), os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.close()
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


def test_a_closed_file_serves_and_writes_nothing(tmp_path: Path) -> None:
    """Its descriptor's number may be another file's by then."""
    file = complete(tmp_path)
    file.close()
    assert fetched(file, 0) == [None]
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.flush()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    data_path(tmp_path).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        open_cached(str(tmp_path), HEAD)
    assert victim.read_bytes() == b"precious"


def test_files_are_their_owners_only(tmp_path: Path) -> None:
    complete(tmp_path).close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_map_that_another_holds_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = complete(tmp_path)
    overwrite(data_path(tmp_path), 0, b"damage")
    assert fetched(file, 0) == [None]
    monkeypatch.setattr(mapfile, "PATIENCE", 0.0)
    fd = os.open(map_path(tmp_path), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        file.flush()
    os.close(fd)
    file.flush()
    assert opened(tmp_path).missing == 1


def test_a_map_of_several_pages(tmp_path: Path) -> None:
    """Chunks of one byte: the numbers on both sides of a page's border."""
    count = PAGE_BITS + 5
    head = MapHead(count, count, blake3(b"long").digest(), blake3(b"cut").digest())
    file = opened(tmp_path, head)
    numbers = (0, 7, PAGE_BITS - 1, PAGE_BITS, PAGE_BITS + 4)
    id_ = ChunkId(blake3(b"x").digest())
    for number in numbers:
        file.put(Piece(number, number, 1, id_), memoryview(b"x"))
    file.flush()
    again = opened(tmp_path, head)
    assert [n for n in range(count) if again.has(n)] == list(numbers)


def test_a_map_that_claims_too_much_is_no_map(tmp_path: Path) -> None:
    """Memory is taken by what a map says, where a folder is looked at without its store."""
    folder = CacheFolder(str(tmp_path), STORE)
    folder.make()
    head = MapHead(1 << 60, 1 << 50, HEAD.blake3, HEAD.cut)
    path = Path(folder.path) / cached_name(head)
    path.with_suffix(DATA).touch()
    path.with_suffix(MAP).write_bytes(encode_head(head))
    (found,) = survey(folder)
    assert (found.size, found.chunks, found.there, found.sealed) == (0, 0, 0, False)
    with pytest.raises(ChunkDamagedError, match="too many chunks"):
        decode_head(encode_head(head))
