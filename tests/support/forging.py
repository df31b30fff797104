"""What somebody can do who writes to every backend of a store in the clear, and has no signing key:
rewrite journals and packs, with every checksum right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modelfloat.cas.formats.journal import (
    NO_ID,
    JournalEntry,
    PackStored,
    Record,
    decode_record,
    encode_record,
)
from modelfloat.cas.formats.shard import PackInfo, encode_tail, hash_blocks, shard_length
from modelfloat.erasure.codec import encode
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import StoreId

Change = Callable[[JournalEntry], JournalEntry | None]
"""What becomes of an entry; None: it goes."""


def records(path: Path) -> dict[Path, Record]:
    """Every copy of every record on the store's own directories, by writer and number."""
    files = (path / "backends").glob("*/journal/*/*")
    found = {file: decode_record(file.read_bytes(), file.name) for file in files}
    return dict(sorted(found.items(), key=lambda each: (each[1].writer, each[1].seq)))


def hide_records(path: Path, after: int) -> None:
    """Remove every record with a number above `after`."""
    for file, record in records(path).items():
        if record.seq > after:
            file.unlink()


def rewrite(path: Path, change: Change) -> None:
    """Change entries of all journals, and chain the records anew."""
    last: dict[tuple[bytes, int], bytes] = {}
    for file, record in records(path).items():
        changed = (change(entry) for entry in record.entries)
        entries = tuple(entry for entry in changed if entry is not None)
        before = last.get((record.writer, record.seq - 1), NO_ID)
        data = encode_record(replace(record, entries=entries, previous=before))
        last[record.writer, record.seq] = data[-32:]
        file.write_bytes(data)


def replace_chunk(path: Path, id_: bytes, content: bytes) -> None:
    """Give a chunk, or an object, other bytes under the same id, wherever it lies."""
    store = next(iter(records(path).values())).store

    def change(entry: JournalEntry) -> JournalEntry:
        if not isinstance(entry, PackStored) or all(c.id != id_ for c in entry.chunks):
            return entry
        return _rewritten(path, store, entry, id_, content)

    rewrite(path, change)


def _rewritten(
    path: Path, store: StoreId, pack: PackStored, id_: bytes, content: bytes
) -> PackStored:
    files = {
        int(file.name.split("-")[0]): file
        for file in (path / "backends").glob(f"*/packs/*/{pack.pack.hex()}/*")
    }
    # A copy of the record comes after another: the first one has had the pack rewritten.
    known = _KNOWN.get((str(path), pack.pack, content))
    if known is None:
        data = b"".join(files[i].read_bytes()[: pack.shard] for i in range(pack.k))
        known = _KNOWN[str(path), pack.pack, content] = _write(
            files, store, pack, data, id_, content
        )
    return known


_KNOWN: dict[tuple[str, bytes, bytes], PackStored] = {}


def _write(
    files: dict[int, Path], store: StoreId, pack: PackStored, data: bytes, id_: bytes, new: bytes
) -> PackStored:
    body, table = bytearray(), []
    for chunk in pack.chunks:
        stored = data[chunk.offset : chunk.offset + chunk.stored]
        if chunk.id == id_:
            chunk, stored = replace(chunk, codec=0, stored=len(new), raw=len(new)), new
        table.append(replace(chunk, offset=len(body)))
        body += stored
    length, size = len(body), shard_length(len(body), pack.k)
    body += bytes(pack.k * size - length)
    shards = [bytes(body[i * size : (i + 1) * size]) for i in range(pack.k)]
    parity = [bytearray(size) for _ in range(pack.m)]
    encode(Scheme(pack.k, pack.m), shards, parity)
    shards += map(bytes, parity)
    blocks = tuple(hash_blocks(memoryview(shard)) for shard in shards)
    info = PackInfo(store, pack.pack, pack.k, pack.m, pack.kind, length, size, blocks, tuple(table))
    for index, file in files.items():
        file.write_bytes(shards[index] + encode_tail(info, index))
    return replace(pack, length=length, shard=size, chunks=tuple(table))
