"""Rescue: every file of a ModelFloat store, from its backends alone.

    pip install blake3 reedsolo zstandard
    python rescue.py --out DEST BACKEND_DIR...

Of an encrypted store with its recovery sheet (and `pip install cryptography` besides):

    python rescue.py --sheet SHEET --out DEST BACKEND_DIR...

This file needs nothing of ModelFloat. It is docs/format.md said a second time, in Python: when
everything else is gone, read it, change it, use it.

It writes DEST/vendor/name for the branch `main` and DEST/vendor/name@REF for every other branch and
tag, with modes, times, links and holes. Every chunk and file is checked by its BLAKE3. Where
the scheme is k+m, any k shards of each pack suffice; name all directories that are left.

Exit status: 0 all is written; 3 so it is, but damage was met on the way; 4 something could not be
had, and is named; 1 DEST cannot be written; 2 wrong usage. Memory: one pack (64 MiB), a block of
each of its shards, and a table of all packs; that of all chunks is a temporary SQLite file.
"""

import argparse
import base64
import contextlib
import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
import sqlite3
import struct
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import reedsolo
import zstandard
from blake3 import blake3

BLOCK = MAX_CHUNK = 1 << 20
DIRECTORY, LINK = 2, 3
PART = b".rescue-" + os.urandom(8).hex().encode()  # what a file is called until it is whole
reedsolo.init_tables(0x11D)


class LostError(Exception):
    """Something that cannot be had: not enough of it is left."""


def table(value: Callable[[int], int]) -> bytes:
    """What `bytes.translate` makes of each byte: a whole block at a time."""
    return bytes(value(x) & 255 for x in range(256))


@functools.lru_cache(maxsize=256)
def columns(rows: tuple[int, ...], k: int, m: int) -> list[bytes]:
    """For each shard of `rows`, k of n, what of it is in every data shard: the code is linear."""
    if k == 1:  # Copies.
        return [b"\1"]
    codec, lost = reedsolo.RSCodec(m, nsize=k + m), sorted(set(range(k + m)) - set(rows))
    units = [bytearray(int(i == row) for i in range(k + m)) for row in rows]
    return [bytes(codec.decode(unit, erase_pos=lost, only_erasures=True)[0]) for unit in units]


def decode_block(shards: dict[int, bytes], k: int, m: int) -> dict[int, bytes]:
    """One block of all data shards from the same block of any k shards."""
    rows = tuple(sorted(shards)[:k])
    made = {i: shards[i] for i in rows if i < k}
    for i in set(range(k)) - set(rows):
        total = 0  # A sum in the field is an exclusive or, and long integers do that fast.
        for column, r in zip(columns(rows, k, m), rows, strict=True):
            products = table(functools.partial(reedsolo.gf_mul, column[i]))
            total ^= int.from_bytes(shards[r].translate(products), "big")
        made[i] = total.to_bytes(len(shards[rows[0]]), "big")
    return made


Shape = tuple[int, int, int, int]  # k, m, pack length L, shard length S
Footer = tuple[Shape, bytes]  # with the BLAKE3s of all blocks, shard by shard


class Keys:
    """What opens an encrypted store; `sheet` is the recovery sheet's text, "" of a store in the
    clear, where everything is as it is."""

    def __init__(self, sheet: str) -> None:
        self.store = "".join(re.findall(r"(?mi)^\s*store\s+([0-9a-f]{32})\s*$", sheet)[:1]).lower()
        self.encrypted = bool(sheet)
        master = b"".join(self._row(sheet, number) for number in range(1, 5)) if sheet else b""
        self.ids, self.packs, self.records = (
            blake3(master, derive_key_context=f"modelfloat 2026-11 {what}").digest()
            for what in ("chunk ids", "packs", "journal records")
        )

    def _row(self, sheet: str, number: int) -> bytes:
        """8 bytes of the master key; SystemExit where their check does not fit."""
        row = "".join(re.findall(rf"(?mi)^\s*key {number}\s+([a-z0-9 -]+?)\s*$", sheet)[:1])
        digits = re.sub("[ -]", "", row).upper().translate(str.maketrans("0189", "OIBG"))
        with contextlib.suppress(ValueError):
            data = base64.b32decode(digits)
            text = b"%d " % number + bytes.fromhex(self.store) + data[:8]
            if len(data) == 10 and data[8:] == hashlib.sha256(text).digest()[:2]:
                return data[:8]
        raise SystemExit(f"rescue: the sheet's line `key {number}` has a mistake, or `store` has")

    def hash(self, data: bytes) -> bytes:
        """The id of a chunk of these bytes."""
        return (blake3(data, key=self.ids) if self.encrypted else blake3(data)).digest()

    @staticmethod
    def _open(key: bytes, context: str, of: bytes, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        own = blake3(key + of, derive_key_context=f"modelfloat 2026-11 {context}").digest()
        try:
            return AESGCM(own).decrypt(nonce, data, aad)
        except InvalidTag:
            raise ValueError("it was not encrypted by this store's keys") from None

    def of_pack(self, pack: bytes, slot: int, data: bytes) -> bytes:
        """A chunk as its codec made it, or for slot 2^32-1 the chunk table. ValueError."""
        if not self.encrypted:
            return data
        return self._open(self.packs, "one pack", pack, struct.pack("<I8x", slot), data, b"")

    def entry(self, where: bytes, data: bytes) -> tuple[int, bytes]:
        """Type and bytes of a journal's entry. ValueError."""
        clear = self._open(self.records, "one entry", data[:32], bytes(12), data[32:], where)
        return clear[0], clear[4:]


def check_version(data: bytes, keys: Keys) -> None:
    """ValueError where we may not read a shard or journal record: a newer release wrote it, or it
    is encrypted and its store is not, or the other way round."""
    version, incompat = struct.unpack_from("<H10xI", data, 8)
    if bool(incompat & 2) != keys.encrypted:
        raise ValueError(f"it is {'' if incompat & 2 else 'not '}encrypted")
    if version != 1 or incompat & ~15:  # bit 0: codecs above 1; bit 2: signed; bit 3: a segment
        raise ValueError(f"version {version}, flags {incompat:#x}: newer than this script")


def read_range(path: str, offset: int, size: int) -> bytes:
    """Bytes of a file; fewer than `size` where they cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        return os.pread(file.fileno(), size, max(0, offset))
    return b""


def read_footer(path: str, pack: bytes, keys: Keys) -> tuple[Footer, bytes]:
    """A shard's footer and the chunk table in it, b"" for none. ValueError where it is damaged."""
    end = os.path.getsize(path) - 64
    trailer = read_range(path, end, 64)
    crc = zlib.crc32(trailer[:60]).to_bytes(4, "little")
    if trailer[:8] != b"MFLTSHRD" or trailer[60:] != crc:
        raise ValueError("it does not end in a sound trailer")
    check_version(trailer, keys)
    (length,) = struct.unpack_from("<I", trailer, 24)
    footer = read_range(path, end - length, length)
    if blake3(footer).digest() != trailer[28:60]:
        raise ValueError("its footer")
    own, k, m, flags, size, shard, count, blocks = struct.unpack_from("<16x16sBBxxIQQII", footer)
    at = 96 + 32 * (k + m) * blocks
    wanted = at + (48 * count if flags & 1 else 0)
    if (own, blocks, length) != (pack, -(-shard // BLOCK), wanted):
        raise ValueError("its footer is another pack's, or contradicts itself")
    table = footer[at:]
    if table and keys.encrypted:
        table = keys.of_pack(pack, 0xFFFFFFFF, table + footer[64:80])
    return ((k, m, size, shard), footer[96:at]), table


class Store:
    """What the directories hold. `damage` is what was met on the way, each told once."""

    def __init__(self, folders: list[str], keys: Keys) -> None:
        self.keys = keys
        self.damage: set[str] = set()
        self.shards: dict[bytes, dict[int, list[str]]] = {}  # paths, by pack and index
        self.shapes: dict[bytes, Shape] = {}  # by pack
        # By its id: vendor, name, 1 branch or 2 tag, ref, commit.
        self.changes: dict[bytes, tuple[str, str, int, str, bytes]] = {}
        self.superseded: set[bytes] = set()
        self.chunks = sqlite3.connect("")
        names = "id, pack, slot, offset, stored, raw, codec, kind"
        self.chunks.execute(f"CREATE TABLE chunk ({names}, PRIMARY KEY ({names})) WITHOUT ROWID")
        roots = [pathlib.Path(folder) for folder in self._of_one_store(folders)]
        for path in sorted(str(path) for root in roots for path in root.glob("packs/*/*/*")):
            match = re.search(r"/[0-9a-f]{2}/([0-9a-f]{32})/(\d+)-\d+-\d+$", path)
            if match:
                shards = self.shards.setdefault(bytes.fromhex(match[1]), defaultdict(list))
                shards[int(match[2])].append(path)
        # Records of any writer, in any order: packs are facts, and a ref's head follows from which
        # change names which as its previous one. An entry that is read twice changes nothing.
        for path in sorted(str(path) for root in roots for path in root.glob("journal/*/*")):
            try:
                self._read_record(path)
            except (OSError, ValueError, struct.error) as error:
                self.note(f"{path}: {error}")
        for pack in set(self.shards) - set(self.shapes):  # Those whose journal record is gone.
            self._footers(pack)

    def note(self, what: str) -> None:
        if what not in self.damage:
            self.damage.add(what)
            print(f"damaged: {what}", file=sys.stderr)

    def _of_one_store(self, folders: list[str]) -> list[str]:
        """The directories of the store that most are of, and those that do not say."""
        stores = dict.fromkeys(folders, "")
        for folder in folders:
            marker = read_range(os.path.join(folder, "modelfloat.json"), 0, 1 << 20)
            try:
                found = json.loads(marker)
                stores[folder] = str(found["store"])
                if found["incompat"] & 2 and not self.keys.encrypted:
                    raise SystemExit("rescue: the store is encrypted: name its sheet by --sheet")
            except (ValueError, KeyError, TypeError):
                self.note(f"{folder}: it has no marker that can be read")
        known = Counter(store for store in stores.values() if store).most_common(1)
        self.id = self.keys.store or (known[0][0] if known else "")
        ours = [folder for folder in folders if stores[folder] in ("", self.id)]
        for folder in set(folders) - set(ours):
            print(f"left out: {folder}: a backend of another store", file=sys.stderr)
        return ours

    def _read_record(self, path: str) -> None:
        data = pathlib.Path(path).read_bytes()
        if data[:8] != b"MFLTJRNL" or blake3(data[:-32]).digest() != data[-32:]:
            raise ValueError("it is no sound journal record")
        check_version(data, self.keys)
        if self.id not in ("", data[24:40].hex()):
            raise ValueError("it is another store's")
        (count,), at = struct.unpack_from("<I", data, 104), 112
        for number in range(count):
            type_, length = struct.unpack_from("<BxxxI", data, at)
            entry = data[at + 8 : at + 8 + length]
            at += 8 + length
            if self.keys.encrypted and type_ in (1, 2, 6):
                raise ValueError("an entry in it is not encrypted")
            if self.keys.encrypted and type_ == 5:
                where = data[:112] + struct.pack("<I", number)
                type_, entry = self.keys.entry(where, entry)
            # 3, shard placed: it is found where it is. 4, pack deleted: its rest does no harm.
            if type_ == 1:
                id_, k, m, *lengths = struct.unpack_from("<16sBBxxQQ", entry)
                if id_ in self.shards:
                    self._learn(id_, (k, m, *lengths), entry[44 + 16 * (k + m) :])
            elif type_ in (2, 6):  # 6: signed, which is not checked here
                self._ref_changed(entry)

    def _ref_changed(self, entry: bytes) -> None:
        kind, previous, commit = struct.unpack_from("<Bxxx32s32x32s", entry)
        texts, at = [], 108
        for _ in range(3):
            (length,) = struct.unpack_from("<H", entry, at)
            texts.append(entry[at + 2 : at + 2 + length].decode())
            at += 2 + length
        self.changes[blake3(entry).digest()] = (texts[0], texts[1], kind, texts[2], commit)
        self.superseded.add(previous)

    @functools.lru_cache(maxsize=1)  # noqa: B019  one store a run
    def _footers(self, pack: bytes) -> list[Footer]:
        """What a pack's footers say, what most say first; their chunk tables are taken over."""
        found: Counter[Footer] = Counter()
        for path in itertools.chain.from_iterable(self.shards[pack].values()):
            try:
                footer, table = read_footer(path, pack, self.keys)
                self._learn(pack, footer[0], table)
            except (OSError, ValueError, struct.error) as error:
                self.note(f"{path}: {error}")
                continue
            found[footer] += 1
        return [footer for footer, _ in found.most_common()]

    def _learn(self, pack: bytes, shape: Shape, table: bytes) -> None:
        k, m, length, shard = shape
        in_range = 1 <= k <= 32 and m <= 16 and 0 < length <= 64 << 20
        if not in_range or shard != 64 * -(-length // (64 * k)):
            raise ValueError("no pack can be like that")
        self.shapes.setdefault(pack, shape)
        every = struct.iter_unpack("<32sIIIBBxx", table)
        tag = 16 if self.keys.encrypted else 0
        rows = (
            (row[0], pack, slot, *row[1:])
            for slot, row in enumerate(every)
            if 0 < row[2] - tag <= row[3] <= MAX_CHUNK
        )
        self.chunks.executemany("INSERT OR IGNORE INTO chunk VALUES (?,?,?,?,?,?,?,?)", rows)

    def chunk(self, id_: bytes) -> bytes:
        """A chunk, from whichever of its places it can be had. LostError."""
        query = "SELECT pack, slot, offset, stored, raw, codec FROM chunk WHERE id = ?"
        places = self.chunks.execute(query, (id_,)).fetchall()
        for pack, slot, offset, stored, raw, codec in places:
            for encoded in self._copies(pack, offset, stored):
                with contextlib.suppress(*UNDECODABLE):
                    data = CODECS[codec](self.keys.of_pack(pack, slot, encoded), raw)
                    if self.keys.hash(data) == id_:
                        return data
        packs = ", ".join(sorted({pack.hex()[:8] for pack, *_ in places})) or "none has it"
        raise LostError(f"chunk {id_.hex()[:16]} cannot be had from its packs: {packs}")

    def _copies(self, pack: bytes, offset: int, size: int) -> Iterator[bytes]:
        """Bytes of a pack: its data shards are it, end to end; then what the code makes of all."""
        shard, data = self.shapes[pack][3], b""
        while len(data) < size:
            index, at = divmod(offset + len(data), shard)
            wanted = min(size - len(data), shard - at)
            copies = (read_range(path, at, wanted) for path in self.shards[pack][index])
            # What is missing is filled: a chunk of it will not verify, and is decoded.
            data += next((copy for copy in copies if len(copy) == wanted), bytes(wanted))
        yield data
        for footer in self._footers(pack):
            yield self._decode(pack, footer)[offset : offset + size]

    @functools.lru_cache(maxsize=1)  # noqa: B019  one store a run
    def _decode(self, pack: bytes, footer: Footer) -> bytes:
        (k, m, _, shard), digests = footer
        whole = bytearray(k * shard)
        for block, at in enumerate(range(0, shard, BLOCK)):
            sound: dict[int, bytes] = {}
            for index in range(k + m):
                number = index * -(-shard // BLOCK) + block
                for path in self.shards[pack][index] if len(sound) < k else []:
                    data = read_range(path, at, min(BLOCK, shard - at))
                    if blake3(data).digest() == digests[32 * number : 32 * number + 32]:
                        sound[index] = data
                        break
                    self.note(f"{path}: block {block}")
            if len(sound) == k:
                sound = decode_block(sound, k, m)
            for index in set(sound) & set(range(k)):
                start = index * shard + at
                whole[start : start + len(sound[index])] = sound[index]
        return bytes(whole)

    def object(self, id_: bytes, *types: int) -> bytes:
        """An object of one of these types. LostError."""
        data, newest = self.chunk(id_), 1 + (1 in types)  # 2: a manifest with region pages
        if len(data) < 8 or data[:4] != b"MFOB" or data[4] not in types or data[5] > newest:
            raise LostError(f"object {id_.hex()[:16]} is not what it should be")
        return data

    def tips(self) -> list[bytes]:
        """All commits that are no other's parent, whether a ref names them or not."""
        parents: dict[bytes, list[bytes]] = {}
        for (id_,) in self.chunks.execute("SELECT DISTINCT id FROM chunk WHERE kind").fetchall():
            with contextlib.suppress(LostError):
                data = self.object(id_, 5)
                (count,) = struct.unpack_from("<H", data, 50)
                parents[id_] = [data[64 + 32 * i : 96 + 32 * i] for i in range(count)]
        return sorted(set(parents).difference(*parents.values()))


def decode_frame(encoded: bytes, size: int) -> bytes:
    """One zstd frame of exactly `size` bytes. ValueError."""
    if zstandard.frame_content_size(encoded) != size:
        raise ValueError("a frame of another size")
    return zstandard.ZstdDecompressor(max_window_size=8 << 20).decompress(encoded)


def decode_planes(encoded: bytes, lengths: list[int]) -> list[bytes]:
    """The planes of a container, which have these lengths, and the tail. ValueError."""
    heads = [struct.unpack_from("<BI", encoded, 5 * i) for i in range(len(lengths))]
    ends = itertools.accumulate((length for _, length in heads), initial=5 * len(lengths))
    parts = [encoded[a:b] for a, b in itertools.pairwise([*ends, None])]
    planes: list[bytes] = []
    for i, ((method, _), size) in enumerate(zip(heads, lengths, strict=True)):
        if method == 1:
            planes.append(decode_frame(parts[i], size))
        elif method == 2:
            planes.append(parts[i][:1] * size)
        elif method == 3:
            bits = [bytes(parts[i][x >> 7 - j & 1] for j in range(8)) for x in range(256)]
            planes.append(b"".join(bits[x] for x in parts[i][2:])[:size])
        elif method == 4:
            planes += expand(parts[i], parts[i + 1], size)
        elif method == 0:
            planes.append(parts[i])
    return [*planes, parts[-1]]


def expand(data: bytes, halves: bytes, size: int) -> list[bytes]:
    """Two planes that were squeezed: exponents, and mantissas. ValueError."""
    base, count = struct.unpack_from("<BI", data)
    whole = decode_frame(data[5 + 5 * count :], size)
    exponents = bytearray(whole.translate(table(lambda x: base + (x >> 4))))
    for i, at in enumerate(struct.unpack_from(f"<{count}I", data, 5)):
        exponents[at] = data[5 + 4 * count + i]
    mantissas = bytearray(size)
    mantissas[::2] = halves.translate(table(lambda x: x & 15))
    mantissas[1::2] = halves.translate(table(lambda x: x >> 4))
    upper = int.from_bytes(whole.translate(table(lambda x: x << 4)), "big")
    return [bytes(exponents), (upper | int.from_bytes(mantissas, "big")).to_bytes(size, "big")]


def decode_fields(encoded: bytes, raw: int) -> bytes:
    """Blocks cut into runs, which a list of widths and planes tells. ValueError."""
    end = 1 + 3 * encoded[0]
    owners = [p for width, p in struct.iter_unpack("<HB", encoded[1:end]) for _ in range(width)]
    count, widths = raw // len(owners), Counter(owners)
    planes = decode_planes(encoded[end:], [count * widths[p] for p in range(len(widths))])
    blocks, used = bytearray(count * len(owners)), Counter[int]()
    for i, p in enumerate(owners):
        blocks[i :: len(owners)] = planes[p][used[p] :: widths[p]]
        used[p] += 1
    return bytes(blocks) + planes[-1]


def decode_palette(encoded: bytes, raw: int) -> bytes:
    """A list of values, and for every word which of them it is. ValueError."""
    size, last, count = *encoded[:2], raw // encoded[0]
    bits = next(bits for bits in (1, 2, 4, 8) if last < 1 << bits)
    mask, values = (1 << bits) - 1, [encoded[2 + size * i :][:size] for i in range(1 << bits)]
    words = [b"".join(values[x >> j & mask] for j in range(0, 8, bits)) for x in range(256)]
    packed, tail = decode_planes(encoded[2 + size * (last + 1) :], [-(-count * bits // 8)])
    return b"".join(words[x] for x in packed)[: count * size] + tail


def decode_floats(size: int, encoded: bytes, raw: int) -> bytes:
    """Words of `size` bytes, rotated left by one bit and stored by planes. ValueError."""
    count = raw // size
    *planes, tail = decode_planes(encoded, [count] * size)
    words = bytearray(count * size)
    for i, plane in enumerate(planes):
        words[size - 1 - i :: size] = plane
    rotated = int.from_bytes(words, "little")  # Long integers turn all words at once.
    signs = rotated & int.from_bytes((b"\1" + bytes(size - 1)) * count, "little")
    turned = (rotated ^ signs) >> 1 | signs << 8 * size - 1
    return turned.to_bytes(count * size, "little") + tail


CODECS: dict[int, Callable[[bytes, int], bytes]] = {
    0: lambda encoded, _raw: encoded,
    1: decode_frame,
    **{i: functools.partial(decode_floats, n) for i, n in {2: 2, 3: 2, 4: 4, 5: 8}.items()},
    6: lambda encoded, raw: b"".join(decode_planes(encoded, [raw])),
    7: decode_fields,
    8: decode_palette,
    9: lambda encoded, raw: (encoded * -(-raw // len(encoded)))[:raw],
}
UNDECODABLE = (zstandard.ZstdError, ValueError, LookupError, ArithmeticError, struct.error)


def entries(store: Store, id_: bytes) -> Iterator[tuple[bytes, int, int, int, bytes]]:
    """Name, type, mode, mtime and target of the entries of a tree, or of a tree index."""
    data = store.object(id_, 3, 4)
    (count,) = struct.unpack_from("<I", data, 8)
    if data[4] == 4:
        at = 12
        for _ in range(count):
            tree, length = struct.unpack_from("<32s4xH", data, at)
            at += 38 + length
            yield from entries(store, tree)
        return
    for at in struct.unpack_from(f"<{count}I", data, 12):
        type_, mode, mtime, length, target = struct.unpack_from("<BxHq8xHH", data, at)
        name = data[at + 24 : at + 24 + length]
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise LostError(f"tree {id_.hex()[:16]} has a name that cannot be")
        yield name, type_, mode, mtime, data[at + 24 + length :][:target]


class Rescue:
    """Writes trees below a folder; `lost` counts what could not be had."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.files = self.bytes = self.lost = 0

    @contextlib.contextmanager
    def noting(self, path: bytes) -> Iterator[None]:
        """Name what cannot be had, and go on."""
        try:
            yield
        except LostError as error:
            self.lost += 1
            print(f"lost: {os.fsdecode(path)!r}: {error}", file=sys.stderr)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(os.path.dirname(path), PART))

    def tree(self, id_: bytes, path: bytes) -> None:
        """Write a directory's entries, each with its mode and time."""
        if os.path.islink(path):  # Through it one would write elsewhere.
            raise LostError("a link is there, where a folder should be; move it away")
        os.makedirs(path, exist_ok=True)
        os.chmod(path, os.stat(path).st_mode | 0o700)  # An earlier rescue may have closed it.
        for name, type_, mode, mtime, target in entries(self.store, id_):
            inner = os.path.join(path, name)
            with self.noting(inner):
                self.entry(type_, target, inner)
                if type_ != LINK:
                    os.chmod(inner, mode & 0o777)
                os.utime(inner, ns=(mtime, mtime), follow_symlinks=False)

    def entry(self, type_: int, target: bytes, path: bytes) -> None:
        """Write a directory, link or file; a file has another name until it is found right."""
        if type_ == DIRECTORY:
            return self.tree(target, path)
        part = os.path.join(os.path.dirname(path), PART)
        if type_ == LINK:
            os.symlink(target, part)
        else:
            with open(part, "wb", buffering=0) as file:
                self.fill(self.store.object(target, 1), file.fileno())
        return os.rename(part, path)

    def fill(self, manifest: bytes, fd: int) -> None:
        """Write the bytes that a manifest names, zeros as holes, and check them as a whole."""
        size, digest = struct.unpack_from("<Q32s", manifest, 8)
        count, pages = struct.unpack_from("<QI", manifest, 48)
        table = struct.iter_unpack("<32s16x", manifest[64 : 64 + 48 * pages])
        parts = [self.store.object(page, 2)[8:] for (page,) in table]
        inline = b"" if pages else manifest[64 : 64 + 36 * count]
        whole, at = blake3(), 0
        for id_, raw in struct.iter_unpack("<32sI", inline + b"".join(parts)):
            data = self.store.chunk(id_)
            whole.update(data)
            if data.count(0) < len(data):
                os.pwrite(fd, data, at)
            at += raw
        os.ftruncate(fd, size)
        if at != size or whole.digest() != digest:
            raise LostError("its chunks do not add up to the file that was added")
        self.files, self.bytes = self.files + 1, self.bytes + size


def targets(store: Store) -> Iterator[tuple[str, bytes]]:
    """The path below DEST and the commit of each head."""
    taken: dict[str, bytes] = {}
    # Every ref's head, or heads: the changes that no other names as its previous one.
    heads = (store.changes[id_] for id_ in set(store.changes) - store.superseded)
    for vendor, name, kind, ref, commit in sorted(head for head in heads if any(head[-1])):
        path = f"{vendor}/{name}"
        if (kind, ref) != (1, "main"):
            path += "@" + ref.replace("/", "%2F")
        if not re.fullmatch(r"[^/.\0][^/\0]*/[^/.\0][^/\0]*", path):
            print(f"left out: {path!r} cannot be a path", file=sys.stderr)
            continue
        if taken.setdefault(path, commit) != commit:
            path = f"{vendor}/{name}@{commit.hex()[:12]}"  # Several heads: none is dropped.
        yield path, commit


def main() -> int:
    """Read the arguments, then the store, then write everything."""
    parser = argparse.ArgumentParser(description="Restore a ModelFloat store from its backends.")
    parser.add_argument("--out", required=True, metavar="DEST", help="a folder to write to")
    parser.add_argument("--sheet", metavar="SHEET", help="the recovery sheet of an encrypted store")
    parser.add_argument("--commits", action="store_true", help="commits that no ref names, too")
    parser.add_argument("backends", nargs="+", metavar="BACKEND_DIR")
    arguments = parser.parse_args()
    sys.setrecursionlimit(20_000)  # Folders may lie 400 deep.
    try:
        sheet = arguments.sheet
        keys = Keys("" if sheet is None else pathlib.Path(sheet).read_text(errors="replace"))
        store = Store(arguments.backends, keys)
        wanted = list(targets(store))
        if arguments.commits or not wanted:
            named = {commit for _, commit in wanted}
            wanted += [(f"commits/{c.hex()[:12]}", c) for c in store.tips() if c not in named]
        rescue = Rescue(store)
        for path, commit in wanted:
            place = os.fsencode(os.path.join(arguments.out, path))
            with rescue.noting(place):
                rescue.tree(store.object(commit, 5)[8:40], place)
    except OSError as error:
        print(f"rescue: {error.filename or arguments.out!r}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"{len(wanted)} refs: {rescue.files} files, {rescue.bytes:,} bytes; {rescue.lost} lost")
    return 4 if rescue.lost or not wanted else 3 if store.damage else 0


if __name__ == "__main__":
    sys.exit(main())
