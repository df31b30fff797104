"""Reading a model from providers far away: fakes of MEGA, Google Drive and IPFS, two backends each.

What is between them and us: each answer begins 80 ms after its question, and each connection moves
20 MB/s. A backend may have many connections, which together could bring more than this machine can
take; so a provider lets through as much as two of them, one for each of its backends, however many
there are. That is its cap, 40 MB/s, and three providers' are 120 MB/s. The fakes speak the
providers' own protocols, a process each.

The peer is the links themselves: all shards of data of the file fetched whole by the same clients,
as many at once as each allows, with nothing decoded, checked or put in order. What that does not
get of the caps is lost between the fakes and the clients.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio
from blake3 import blake3

from modelfloat.backends.base import Backend
from modelfloat.backends.keys import shard_key
from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import BenchError, drop_page_cache, say
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.remote import NO_CACHE
from modelfloat.bench.report import Report
from modelfloat.bench.sampler import AnonSampler
from modelfloat.bench.serving import serving
from modelfloat.bench.session import Session
from modelfloat.ids import BackendId, Key
from modelfloat.opening import open_store
from modelfloat.tests.support.providers import KINDS, providers

DELAY: Final = 0.08
EACH: Final = 20e6
CAP: Final = 2 * EACH
SUM: Final = CAP * len(KINDS)
ROUNDS: Final = 3
BUFFER: Final = 1 << 20
PIECE: Final = 4 << 20
"""Bytes that the peer asks for at once, as a read of ours does."""


def measure(session: Session) -> Report:
    """The file through a mount, and its shards by the clients alone, in turn."""
    source = session.source
    read: list[float] = []
    bare: list[float] = []
    memory: list[float] = []
    with providers(session.work / "providers", delay=DELAY, each=EACH, whole=CAP) as held:
        urls = {name: f"{url},domain={p.kind}" for p in held for name, url in p.urls.items()}
        knowing = {"XDG_STATE_HOME": str(session.work / "state")}
        for provider in held:
            knowing |= provider.environment
        store = Store(session.work / "store", SCHEME, urls, knowing)
        say(f"added at {store.add(source).seconds:.1f} s")
        for number in range(rounds := min(session.rounds, ROUNDS)):

            def through() -> None:
                rate, peak = _through_mount(store, session.work / "mount", source)
                read.append(rate)
                memory.append(peak)

            def alone() -> None:
                with _knowing(knowing):
                    bare.append(trio.run(_alone, store.path))

            for action in (through, alone) if number % 2 == 0 else (alone, through):
                action()
            say(f"read {read[-1] / 1e6:.1f} MB/s, the clients alone {bare[-1] / 1e6:.1f} MB/s")
    return Report(
        "providers",
        [[HEADER, *map(str, _figures(read, bare, memory))]],
        _notes(source.size, rounds),
    )


def _figures(read: Sequence[float], bare: Sequence[float], memory: Sequence[float]) -> list[Figure]:
    ratios = [mine / theirs for mine, theirs in zip(read, bare, strict=True)]
    return [
        Figure("a cold file through the mount", "MB/s", [rate / 1e6 for rate in read]),
        Figure("its shards by the clients alone", "MB/s", [rate / 1e6 for rate in bare]),
        Figure("through the mount / the sum of the caps", "", [r / SUM for r in read], least=0.85),
        Figure("the clients alone / the sum of the caps", "", [r / SUM for r in bare]),
        Figure("through the mount / the clients alone", "", ratios),
        Figure("memory of the mount at most", "MB", [peak / 1e6 for peak in memory]),
    ]


def _through_mount(store: Store, point: Path, source: Source) -> tuple[float, float]:
    """Bytes a second of the whole file, from before it is opened, and the mount's memory."""
    hasher, buffer = blake3(), memoryview(bytearray(BUFFER))
    with serving(store, point, None, NO_CACHE) as mount:
        drop_page_cache()
        sampler = AnonSampler(mount.pid)
        start = time.perf_counter()
        with open(mount.folder / source.path.name, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
        seconds = time.perf_counter() - start
        sampler.stop()
    if hasher.digest() != source.digest:
        raise BenchError(f"{source.path.name} read through the mount is not the original")
    return source.size / seconds, float(sampler.peak or 0)


async def _alone(path: Path) -> float:
    """Bytes a second of all data shards, those of all backends side by side."""
    async with open_store(str(path)) as store:
        pieces: dict[BackendId, list[tuple[Key, int, int]]] = {}
        for pack in store.index.packs():
            for index in range(pack.k if pack.k > 1 else 0):
                key = shard_key(pack.id, index, pack.k, pack.m)
                pieces.setdefault(pack.backends[index], []).extend(
                    (key, offset, min(PIECE, pack.shard - offset))
                    for offset in range(0, pack.shard, PIECE)
                )
        size = sum(length for of_one in pieces.values() for _, _, length in of_one)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for member in store.members:
                todo = iter(pieces.get(member.id, []))
                for _ in range(member.backend.properties.concurrency):
                    nursery.start_soon(_fetch_all, member.backend, todo)
        return size / (trio.current_time() - start)


async def _fetch_all(backend: Backend, todo: Iterator[tuple[Key, int, int]]) -> None:
    """One of those who take a piece each until none is left."""
    buffer = memoryview(bytearray(PIECE))
    for key, offset, length in todo:
        await backend.get_into(key, offset, buffer[:length])


@contextmanager
def _knowing(variables: Mapping[str, str]) -> Iterator[None]:
    """With these in the environment of this process too."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _notes(size: int, rounds: int) -> list[str]:
    link = f"{DELAY * 1e3:.0f} ms before an answer, {EACH / 1e6:.0f} MB/s a connection"
    caps = f"{CAP / 1e6:.0f} MB/s a provider: the caps are {SUM / 1e6:.0f} MB/s together"
    calls = f"in pieces of {PIECE >> 20} MiB, as many calls at once as a backend allows"
    return [
        f"a safetensors file of {size / 1e9:.2f} GB, {rounds} rounds, a fresh mount for each",
        f"a store of {SCHEME} on two backends each of {', '.join(KINDS)}; each provider a domain",
        f"{link}, {caps}",
        "a read begins before the file is opened, ends with its last byte, and is hashed meanwhile",
        f"the clients alone: every data shard {calls}, nothing checked",
        "no disk cache; rates of providers as by default",
    ]
