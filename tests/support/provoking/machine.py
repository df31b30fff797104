"""What the machine refuses: locks, an index that is damaged, FUSE, files that are none."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from modelfloat.tests.support.provoking.scene import Outcome, Provocation, Scene


def _locked(scene: Scene) -> Outcome:
    with open(scene.store / "locks" / "store", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return scene("--no-wait", "add", scene.file, "acme/tiny")


def _cannot_lock(scene: Scene) -> Outcome:
    shutil.rmtree(scene.store / "locks")
    (scene.store / "locks").mkdir()
    (scene.store / "locks" / "store").mkdir()
    return scene("add", scene.file, "acme/tiny")


def _index(change: Callable[[Path], object]) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        change(scene.store / "index")
        return scene("ls")

    return provoke


def _foreign_index(scene: Scene) -> Outcome:
    other = scene.root / "other"
    scene("init", store=other)
    shutil.copy(other / "index/data.mdb", scene.store / "index/data.mdb")
    return scene("ls")


def _object_gone(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        objects = env.open_db(b"objects")
        with env.begin(write=True) as txn:
            txn.drop(objects, delete=False)
    return scene("ls")


def _deep(scene: Scene) -> Outcome:
    path = deepest = scene.root / "deep"
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    return scene("add", deepest, "acme/deep")


def _pipe(scene: Scene) -> Outcome:
    os.mkfifo(scene.root / "pipe")
    return scene("add", scene.root / "pipe", "acme/pipe")


def _full_output(scene: Scene) -> Outcome:
    from modelfloat.cli.output import to_stdout

    def full() -> None:
        with to_stdout(), open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    return scene.raised(full)


def _mount_below_a_file(scene: Scene) -> Outcome:
    from modelfloat.fuse.mountpoint import prepare

    return scene.raised(lambda: prepare(str(scene.file / "sub")))


def _no_fusermount(scene: Scene) -> Outcome:
    from modelfloat.fuse.unmounting import detach

    scene.patch.setattr(os, "geteuid", lambda: 1000)
    scene.patch.setenv("PATH", "")
    return scene.raised(lambda: detach(str(scene.root), lazy=False))


def _machine(
    attribute: str, value: object, *, user: int = 1000, other: bool = False
) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from modelfloat.fuse import machine

        scene.patch.setattr(os, "geteuid", lambda: user)
        scene.patch.setattr(machine, "DEVICE", "/dev/null")
        scene.patch.setattr(f"modelfloat.fuse.machine.{attribute}", value)
        return scene.raised(lambda: machine.check_machine(allow_other=other))

    return provoke


def _no_isal(scene: Scene) -> Outcome:
    from modelfloat.erasure import isal

    scene.patch.setattr(isal, "SONAME", "libisal-of-nobody.so.2")
    return scene.raised(isal.load)


def _no_pyfuse3(scene: Scene) -> Outcome:
    import sys

    from modelfloat.fuse import mounting

    scene.patch.setitem(sys.modules, "modelfloat.fuse.pyfuse3_binding", None)
    return scene.raised(lambda: mounting.load_binding("pyfuse3"))


def _refused_mount(scene: Scene) -> Outcome:
    from modelfloat.fuse.devfuse import open_mount

    return scene.raised(lambda: open_mount(str(scene.root / "none"), frozenset({"ro"})))


def _taken_port(scene: Scene) -> Outcome:
    import socket

    from modelfloat.fuse.endpoint import Endpoint
    from modelfloat.fuse.metricsserver import listening_on

    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = Endpoint("127.0.0.1", server.getsockname()[1])
        return scene.raised(lambda: listening_on(taken).__enter__())


def _too_many_readers(scene: Scene) -> Outcome:
    import lmdb

    from modelfloat.cas.index.environment import guarded

    def fail() -> None:
        with guarded(str(scene.store / "index"), "meta"):
            raise lmdb.ReadersFullError

    return scene.raised(fail)


def _shrinks(scene: Scene) -> Outcome:
    from modelfloat.cas.add.sources import FileSource

    with open(scene.file, "rb") as file:
        source = FileSource(file.fileno(), 1000, str(scene.file))
        return scene.raised(lambda: source.read(0, 1000))


def _unreadable_run_folder(scene: Scene) -> Outcome:
    from modelfloat.fuse.control import mount_states

    shutil.rmtree(scene.store / "run")
    (scene.store / "run").write_bytes(b"no folder")
    return scene.raised(lambda: mount_states(str(scene.store)))


def _no_socket(scene: Scene) -> Outcome:
    from modelfloat.fuse.control import listening

    shutil.rmtree(scene.store / "run")
    (scene.store / "run").write_bytes(b"no folder")
    return scene.raised(lambda: listening(str(scene.store)).__enter__())


def _machine_denied(scene: Scene) -> Outcome:
    from modelfloat.fuse import machine

    scene.patch.setattr(os, "access", lambda *_: False)
    scene.patch.setattr(machine, "DEVICE", "/dev/null")
    return scene.raised(lambda: machine.check_machine(allow_other=False))


PROVOKED: dict[str, Provocation] = {
    # Locks
    "is held by ‹holders›": _locked,
    "‹count› readers": _too_many_readers,
    # The index
    "shrank while": _shrinks,
    "no index at": _index(shutil.rmtree),
    "is another store's": _foreign_index,
    "the index file": _index(lambda p: os.truncate(p / "data.mdb", 8192)),
    "object ‹id› is not in the index": _object_gone,
    # The machine
    "there is no ‹device›": _machine("DEVICE", "/dev/nothing"),
    "may not be opened by you": _machine_denied,
    "an ordinary user needs fusermount3": _machine("shutil.which", lambda _: None),
    "--allow-other is for root": _machine("FUSE_CONF", "/dev/null", other=True),
    "mounting needs pyfuse3": _no_pyfuse3,
    "was refused (‹reason›); remove": _refused_mount,
    "unmounting needs": _no_fusermount,
    "install the package libisal2": _no_isal,
    # What has no class of its own
    "standard output": _full_output,
    "metrics cannot be served": _taken_port,
    "cannot be locked": _cannot_lock,
    "is neither a file nor": _pipe,
    "nests deeper": _deep,
    "cannot mount on ‹path›: ‹reason›": _mount_below_a_file,
    "‹path› cannot be read: ‹reason›": _unreadable_run_folder,
    "takes no socket": _no_socket,
}
