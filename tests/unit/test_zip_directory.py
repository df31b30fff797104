"""The zip directory: whole archives are read, and whatever does not add up is unknown bytes."""

import io
import struct
import zipfile
from itertools import repeat
from typing import ClassVar

import pytest

from modelfloat.cas.chunking import zipdirectory as subject
from modelfloat.cas.chunking.cutter import CdcCutter, open_cutter
from modelfloat.cas.chunking.room import Room
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.cas.chunking.zipdirectory import Member, locate, read_directory
from modelfloat.tests.support.bounds import peak
from modelfloat.tests.support.sources import BrokenSource, BytesSource, cut_all
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, torch_zip, zipped

MEMBERS = [("a/data.pkl", b"."), ("a/data/0", b"twelve bytes"), ("a/größe", b"")]
PLAIN = zipped(MEMBERS)
END, ENTRY, LOCAL = 22, 46, 30
MODEL = torch_zip({"t": FakeTensor(FakeStorage("FloatStorage", "0", 3), (3,))}, {"0": bytes(12)})


def _members(file: bytes) -> list[Member]:
    source = BytesSource(file)
    room = Room.of(len(file))
    end, entries = read_directory(source, room)
    return locate(source, end, entries, room)


def _entry(index: int, file: bytes = PLAIN) -> int:
    """Where the directory's entry of that number begins."""
    at = file.index(b"PK\x01\x02")
    for _ in range(index):
        at = file.index(b"PK\x01\x02", at + 1)
    return at


def put(at: int, kind: str, value: int, file: bytes = PLAIN) -> bytes:
    """The file with a number changed; counted from its end if `at` is negative."""
    out = bytearray(file)
    struct.pack_into("<" + kind, out, at % len(out), value)
    return bytes(out)


def with_zip64(file: bytes = PLAIN, **changed: int) -> bytes:
    """The file with a zip64 end as PyTorch writes it, and the old one's numbers left out."""
    size, offset = struct.unpack("<II", file[-10:-2])
    (count,) = struct.unpack("<H", file[-12:-10])
    said = {"disk": 0, "here": count, "count": count, "size": size, "offset": offset, "length": 44}
    said |= {"at": len(file) - END, "disks": 1} | changed
    end = struct.pack("<4sQ2H2I", b"PK\x06\x06", said["length"], 45, 45, said["disk"], 0)
    end += struct.pack("<4Q", said["here"], said["count"], said["size"], said["offset"])
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, said["at"], said["disks"])
    old = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return file[:-END] + end + locator + old


@pytest.mark.parametrize(
    "file",
    [
        PLAIN,
        with_zip64(),
        zipped(MEMBERS, comment=b"any comment"),
        zipped(MEMBERS, comment=b"PK\x05\x06" + bytes(30)),
        zipped(MEMBERS, comment=b"x" * 0xFFFF),
    ],
    ids=["plain", "zip64", "comment", "an end in the comment", "longest comment"],
)
def test_members_are_found_where_they_lie(file: bytes) -> None:
    members = _members(file)
    assert [member.name for member in members] == [name for name, _ in MEMBERS]
    for member, (_, data) in zip(members, MEMBERS, strict=True):
        assert member.stored
        assert file[member.offset : member.offset + member.size] == data


def test_sizes_of_64_bits_are_read() -> None:
    """As Python writes them when it is not told how much will come."""

    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe, buffer = Pipe(), io.BytesIO()
    for target in (pipe, buffer):
        with zipfile.ZipFile(target, "w") as archive:
            with archive.open("a", "w", force_zip64=True) as member:
                member.write(b"content")
            archive.writestr("b", b"more")
    for file in (pipe.data, buffer.getvalue()):
        assert [(m.name, m.size) for m in _members(file)] == [("a", 7), ("b", 4)]


def test_a_compressed_or_encrypted_member_is_not_stored() -> None:
    file = zipped([("a", bytes(99)), ("b", b"b")], deflated=["a"])
    assert [m.stored for m in _members(file)] == [False, True]
    at = _entry(1, file)
    locked = put(at + 8, "H", 1, put(file.rindex(b"PK\x03\x04") + 6, "H", 1, file))
    assert [m.stored for m in _members(locked)] == [False, False]


def test_names_that_are_no_utf8_are_read_as_the_code_page_of_old() -> None:
    file = zipped([("a", b"x")]).replace(b"a", b"\x84")
    assert [m.name for m in _members(file)] == ["ä"]


HOSTILE: dict[str, bytes] = {
    "only a beginning": b"PK\x03\x04",
    "no end": PLAIN[:-END],
    "half an end": PLAIN[:-1],
    "something behind the end": PLAIN + b"x",
    "something before the archive": b"PK\x03\x04 and more" + PLAIN,
    "a comment longer than the file": put(-2, "H", 500),
    "an entry less": put(-12, "H", 2, put(-14, "H", 2)),
    "an entry more": put(-12, "H", 4, put(-14, "H", 4)),
    "65535 entries": put(-12, "H", 65535, put(-14, "H", 65535)),
    "no entries": put(-12, "H", 0, put(-14, "H", 0)),
    "another disk": put(-18, "H", 1),
    "a part of the entries": put(-14, "H", 2),
    "a longer directory": put(-10, "I", 1 << 31),
    "a shorter directory": put(-10, "I", 46),
    "a directory elsewhere": put(-6, "I", 0),
    "a directory beyond the file": put(-6, "I", 0xFFFFFFF0),
    "an entry that is none": put(_entry(1), "I", 0),
    "a name beyond the directory": put(_entry(2) + 28, "H", 60000),
    "an extra field beyond the directory": put(_entry(2) + 30, "H", 60000),
    "a header beyond the file": put(_entry(2) + 42, "I", 0xFFFFFF00),
    "a header in the directory": put(_entry(2) + 42, "I", len(PLAIN) - 40),
    "a header that is another's": put(_entry(1) + 42, "I", 0),
    "a header that is none": put(0, "I", 0, MODEL)[:4] + PLAIN[4:],
    "a member beyond the directory": put(
        _entry(2) + 24, "I", 90000, put(_entry(2) + 20, "I", 90000)
    ),
    "stored, but smaller": put(_entry(1) + 20, "I", 5),
    "zip64 without a field": put(_entry(1) + 42, "I", 0xFFFFFFFF),
    "another name in the header": PLAIN.replace(b"a/data/0", b"a/data/1", 1),
    "a longer name in the header": put(26, "H", 11),
    "another size in the header": put(18, "I", 2),
    "another checksum in the header": put(14, "I", 1),
    "another method in the header": put(8, "H", 8),
    "other flags in the header": put(6, "H", 1),
    "an extra field without an end": put(28, "H", 65535),
    "zip64: 2^32 entries": with_zip64(here=1 << 32, count=1 << 32),
    "zip64: 2^64 entries": with_zip64(here=(1 << 64) - 1, count=(1 << 64) - 1),
    "zip64: a part of the entries": with_zip64(here=1),
    "zip64: 2^63 bytes": with_zip64(size=1 << 63),
    "zip64: beyond the file": with_zip64(offset=1 << 63),
    "zip64: an end elsewhere": with_zip64(at=0),
    "zip64: an end beyond the file": with_zip64(at=(1 << 64) - 1),
    "zip64: several disks": with_zip64(disks=2),
    "zip64: another disk": with_zip64(disk=1),
    "zip64: a longer end": with_zip64(length=1 << 60),
    "zip64: ends that disagree": put(-12, "H", 2, with_zip64()),
}


@pytest.mark.parametrize("file", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_cut_as_unknown_bytes(file: bytes) -> None:
    with pytest.raises(ValueError):
        _members(file)
    assert ZipParser().parse(BytesSource(file)) is None
    cutter = open_cutter("model.pt", BytesSource(file))
    assert isinstance(cutter, CdcCutter)
    assert sum(span.size for span in cut_all(cutter, file, repeat(0))) == len(file)


def test_the_archive_those_were_made_from_is_good() -> None:
    assert ZipParser().parse(BytesSource(PLAIN)) is not None


@pytest.mark.parametrize("file", [PLAIN, MODEL, with_zip64()], ids=["plain", "model", "zip64"])
def test_a_truncated_archive_is_cut_as_unknown_bytes(file: bytes) -> None:
    for size in range(len(file)):
        assert ZipParser().parse(BytesSource(file[:size])) is None


def _twice(file: bytes) -> bytes:
    """The last entry once more: two entries for one member, as bombs are built."""
    entry = file[_entry(2, file) : -END]
    grown = file[:-END] + entry + file[-END:]
    count, size = struct.unpack("<H", file[-12:-10])[0] + 1, len(entry)
    (before,) = struct.unpack("<I", file[-10:-6])
    return put(-10, "I", before + size, put(-12, "H", count, put(-14, "H", count, grown)))


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        _members(_twice(PLAIN))


def test_members_that_overlap_are_refused() -> None:
    file = _twice(zipped([("a/data.pkl", b"."), ("b", b"b"), ("cc", b"x" * 500)]))
    file = file[: file.rindex(b"cc")] + b"dd" + file[file.rindex(b"cc") + 2 :]
    with pytest.raises(ValueError, match="overlaps"):
        _members(file)


@pytest.mark.parametrize("limit", ["MEMBER_LIMIT", "DIRECTORY_LIMIT"])
def test_a_directory_beyond_the_limits_is_refused(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, limit, 2)
    with pytest.raises(ValueError, match="a directory of"):
        _members(PLAIN)


def test_nothing_is_inflated() -> None:
    """Ten bombs, a gigabyte together, and one of them where the pickle belongs."""
    bomb = zipped([("x", bytes(100 << 20))], deflated=["x"])
    at = bomb.index(b"PK\x01\x02")
    local, entry = bomb[:at], bomb[at:-END]
    names = [b"a/data.pkl", *(b"a/data/%d" % i for i in range(9))]
    headers = [
        local[:26] + struct.pack("<H", len(n)) + local[28:30] + n + local[31:] for n in names
    ]
    offsets = [sum(map(len, headers[:i])) for i in range(11)]
    listed = [
        entry[:28] + struct.pack("<H", len(n)) + entry[30:42] + struct.pack("<I", at) + n
        for n, at in zip(names, offsets, strict=False)
    ]
    directory = b"".join(listed)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 10, 10, len(directory), offsets[10], 0)
    file = b"".join([*headers, directory, end])
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert sum(info.file_size for info in archive.infolist()) == 1000 << 20
    regions, most = peak(lambda: ZipParser().parse(BytesSource(file)))
    assert regions is None
    assert most < 4 << 20


@pytest.mark.parametrize(
    "members", [[("a.txt", b"x")], [("data.pkl", b".")], [("a/b/data.pkl", b".")]], ids=str
)
def test_other_archives_are_cut_by_content(members: list[tuple[str, bytes]]) -> None:
    assert ZipParser().parse(BytesSource(zipped(members))) is None


def test_the_headers_of_other_archives_are_not_even_read() -> None:
    file = zipped([(f"{i}.txt", b"") for i in range(1000)])

    class Counted(BytesSource):
        reads: ClassVar[list[int]] = []

        def read(self, offset: int, size: int) -> bytes:
            self.reads.append(size)
            return super().read(offset, size)

    assert ZipParser().parse(Counted(file)) is None
    assert len(Counted.reads) < 5


def test_an_unreadable_source_is_not_mistaken_for_a_malformed_one() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        ZipParser().parse(BrokenSource())
