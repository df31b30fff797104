"""Backends that are down, full or damaged, and what is lost with them."""

import os
import shutil

from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs
from modelfloat.tests.support.provoking.scene import Outcome, Provocation, Scene
from modelfloat.tests.support.stores import data_shards, flip_bit, shard_files


def _chunk_gone(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        chunks = env.open_db(b"chunks", dupsort=True, dupfixed=True)
        with env.begin(write=True) as txn:
            txn.drop(chunks, delete=False)
    return scene.program("cat", "acme/tiny/file")


def _all_down(command: str, count: int = 3) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        for number in range(count):
            shutil.rmtree(scene.store / "backends" / f"d{number}")
        outcome = scene(*command.split())
        return Outcome(outcome.status, outcome.lines[-1:])

    return provoke


def _fewer(scene: Scene) -> Outcome:
    for name in ("d1", "d2"):
        shutil.rmtree(scene.store / "backends" / name)
    return scene("add", scene.file, "acme/tiny")


def _no_capacity(scene: Scene) -> Outcome:
    for name in ("d1", "d2"):
        scene.config(f'name = "{name}"\n', f'name = "{name}"\ncapacity = 1\n')
    return scene("add", "--no-preflight", scene.file, "acme/tiny")


def _lost(scene: Scene) -> Outcome:
    for path in data_shards(scene.store)[1:]:
        path.unlink()
    for path in shard_files(scene.store, "d0") + shard_files(scene.store, "d1"):
        path.unlink(missing_ok=True)
    return scene.program("cat", "acme/tiny/file")


def _lost_while_down(scene: Scene) -> Outcome:
    for name in ("d0", "d1"):
        (scene.store / "backends" / name).rename(scene.root / name)
    return scene.program("cat", "acme/tiny/file")


def _damaged(scene: Scene) -> Outcome:
    # Elsewhere in each: with the same bit turned in all, parity that is their sum still fits.
    for number, path in enumerate(data_shards(scene.store)):
        flip_bit(path, 100 + number)
    return scene.program("cat", "acme/tiny/file")


def _backend_full(scene: Scene) -> Outcome:
    with small_tmpfs(scene.root / "small", "200k") as small:
        tiny = scene.root / "tiny"
        scene("init", "--backend", f"s={small}/b", store=tiny)
        scene.file.write_bytes(os.urandom(1_000_000))
        return scene("add", scene.file, "acme/big", store=tiny)


def _backend_read_only(scene: Scene) -> Outcome:
    with small_tmpfs(scene.root / "small", "4m") as small:
        remount_read_only(small)
        return scene("init", "--backend", f"s={small}/c", store=scene.root / "other")


def _in_the_way(scene: Scene) -> Outcome:
    for backend in (scene.store / "backends").iterdir():
        shutil.rmtree(backend / "journal", ignore_errors=True)
        (backend / "journal").write_bytes(b"in the way")
    return scene("add", scene.file, "acme/tiny")


def _damaged_marker(scene: Scene) -> Outcome:
    from modelfloat.backends.marker import decode

    return scene.raised(lambda: decode(b"{", "d0"))


def _silent_mount(scene: Scene) -> Outcome:
    from modelfloat.fuse import inuse
    from modelfloat.fuse.mountstate import SILENT, MountState

    silent = MountState(7, "", "", 0, problem=SILENT)
    scene.patch.setattr(inuse, "mount_states", lambda _: [silent])
    return scene("gc")


def _journal_that_cannot_be_listed(scene: Scene) -> Outcome:
    from modelfloat.backends.local import LocalBackend
    from modelfloat.errors import UnavailableError

    async def fail(self: LocalBackend, prefix: str = "") -> object:
        if prefix == "journal/":
            raise UnavailableError(f"backend {self.name}: it is away")
        async for listed in real(self, prefix):
            yield listed

    real = LocalBackend.list
    scene.patch.setattr(LocalBackend, "list", fail)
    return scene("gc", "--grace", "0")


def _nowhere_to_record(scene: Scene) -> Outcome:
    import trio

    from modelfloat.cas.journal.copies import store_record
    from modelfloat.cas.packs.members import Members
    from modelfloat.config import read_config
    from modelfloat.ids import WriterId

    nobody = Members(read_config(str(scene.store)).id, [])
    return scene.raised(lambda: trio.run(store_record, nobody, WriterId(bytes(16)), 1, b"", 1))


def _too_few_shards(scene: Scene) -> Outcome:
    from modelfloat.erasure.codec import decode
    from modelfloat.erasure.scheme import Scheme

    return scene.raised(lambda: decode(Scheme(2, 1), {0: b"x"}, {1: bytearray(1)}))


def _translated(number: int) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from modelfloat.backends.oserrors import translate

        def fail() -> None:
            raise translate(OSError(number, "x"), "d0", "packs/ab/cd/0-2-1")

        return scene.raised(fail)

    return provoke


def _gone(scene: Scene) -> Outcome:
    import trio

    from modelfloat.backends.local import LocalBackend

    backend = LocalBackend("d0", str(scene.root / "none"))
    return scene.raised(lambda: trio.run(backend.head, "modelfloat.json"))


def _marker_of(scene: Scene, other: str | None) -> Outcome:
    """What the look at a backend says when its marker is away, or another's lies there."""
    import trio

    from modelfloat.backends.local import LocalBackend
    from modelfloat.backends.marker import check_marker
    from modelfloat.config import read_config

    config, path = read_config(str(scene.store)), scene.store / "backends/d0/modelfloat.json"
    path.unlink()
    if other is not None:
        shutil.copy(scene.store / "backends" / other / "modelfloat.json", path)
    backend = LocalBackend("d0", str(path.parent))
    return scene.raised(lambda: trio.run(check_marker, backend, config.id, config.backends[0].id))


PROVOKED: dict[str, Provocation] = {
    # Backends
    "up (‹reason›): nothing can be stored": lambda s: s.without_backends()(
        "add", s.file, "acme/tiny"
    ),
    "‹backends down and full›": _fewer,
    "give one more capacity": _no_capacity,
    "down nothing is deleted": _all_down("gc --grace 0", 2),
    "too many backends are down": _all_down("rebuild-index"),
    "(‹reason›): nothing can be recorded": _nowhere_to_record,
    "the journal cannot be listed": _journal_that_cannot_be_listed,
    "mount of pid ‹pid› does not say": _silent_mount,
    "‹path› is gone; is the disk": _gone,
    "‹backend and key›: ‹reason›; check the disk": _translated(5),
    "no ‹marker› at its root": lambda s: _marker_of(s, None),
    "it ‹belongs elsewhere›": lambda s: _marker_of(s, "d1"),
    "its ‹marker› ‹problem›": _damaged_marker,
    "free some space there or add": _translated(28),
    "this needs about": _backend_full,
    "check the directory's owner": _backend_read_only,
    "is in the way of a folder": _in_the_way,
    # Lost
    "=‹chunk›: ‹reason›; ‹advice›": _lost,
    "‹chunk› cannot be read: ‹backends› down": _lost_while_down,
    "is damaged beyond what parity": _damaged,
    "in no pack that the index knows": _chunk_gone,
    "shards are there, ‹needed›": _too_few_shards,
}
