"""How each message of `docs/errors.md` comes about: commands and calls that fail with it.

`PROVOKED` has, for the beginning or another telling part of a row's message, what provokes it in a
`Scene`. `ELSEWHERE` names the tests that provoke what needs more than a command: a machine without
FUSE, a disk that lies, two processes at once.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import modelfloat
from modelfloat.api import Store as Api
from modelfloat.cli.main import run
from modelfloat.errors import ModelFloatError
from modelfloat.tests.support.command import modelfloat as modelfloat_program
from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs
from modelfloat.tests.support.stores import data_shards, flip_bit, shard_files

SECRET = "hunter2secret"


@dataclass(frozen=True)
class Outcome:
    """How a command or a call ended: the exit status, and what it said, without warnings."""

    status: int
    lines: list[str]


class Scene:
    """A folder with a store of three directories, 2+1, that holds acme/tiny."""

    def __init__(
        self,
        root: Path,
        template: Path,
        capsys: "pytest.CaptureFixture[str]",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.root = root
        self.store = root / "store"
        shutil.copytree(template, self.store, symlinks=True)
        self.capsys = capsys
        self.patch = monkeypatch
        self.file = root / "file"
        self.file.write_bytes(b"new content")

    def __call__(self, *arguments: object, store: Path | None = None) -> Outcome:
        """Run a command on the store."""
        self.capsys.readouterr()
        status = run(["--store", str(store or self.store), *map(str, arguments)])
        said = self.capsys.readouterr().err.splitlines()
        return Outcome(status, [s for s in said if not s.startswith("modelfloat: warning: ")])

    def program(self, *arguments: object) -> Outcome:
        """The same in a process of its own: `cat` writes to the descriptor, not to the stream."""
        done = modelfloat_program("--store", self.store, *arguments)
        said = done.stderr.splitlines()
        lines = [line for line in said if not line.startswith("modelfloat: warning: ")]
        return Outcome(done.returncode, lines)

    def api(self, call: Callable[[Api], object]) -> Outcome:
        """Make a call of the Python API on the open store."""
        with modelfloat.open(self.store) as store:
            return self.raised(lambda: call(store))

    def raised(self, call: Callable[[], object]) -> Outcome:
        """Make a call that fails with one of our errors."""
        try:
            call()
        except ModelFloatError as error:
            return Outcome(error.exit_status, [f"modelfloat: {error}"])
        raise AssertionError("it did not fail")

    def config(self, old: str, new: str) -> None:
        """Change config.toml as an editor would."""
        path = self.store / "config.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def marker(self, **fields: object) -> None:
        """Change the marker of every backend."""
        for path in (self.store / "backends").glob("*/modelfloat.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    def folder(self, *names: str) -> Path:
        """A new folder with files of these names."""
        path = self.root / f"folder{len(os.listdir(self.root))}"
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(name.encode())
        path.mkdir(exist_ok=True)
        return path

    def without_config(self) -> "Scene":
        """The same with config.toml gone."""
        (self.store / "config.toml").unlink()
        return self

    def without_backends(self) -> "Scene":
        """The same with every backend gone."""
        shutil.rmtree(self.store / "backends")
        return self


Provocation = Callable[[Scene], Outcome]


def plain(*arguments: object) -> Provocation:
    """A command that fails on any filled store; {file}, {root} and {store} are filled in."""

    def provoke(scene: Scene) -> Outcome:
        places = {"file": scene.file, "root": scene.root, "store": scene.store}
        return scene(*(str(argument).format(**places) for argument in arguments))

    return provoke


def config_that_says(old: str, new: str) -> Provocation:
    """`ls` after config.toml was edited."""

    def provoke(scene: Scene) -> Outcome:
        scene.config(old, new)
        return scene("ls")

    return provoke


def _closed(scene: Scene) -> Outcome:
    store = modelfloat.open(scene.store)
    store.close()
    return scene.raised(store.stats)


def _sync_file_over_left_out(scene: Scene) -> Outcome:
    scene("add", scene.folder("sub/x.log", "other"), "acme/sync")
    return scene("add", "--sync", "--exclude", "*.log", scene.folder("sub"), "acme/sync")


def _ambiguous(scene: Scene) -> Outcome:
    """Two commits that begin alike are too rare to be made: two are said to."""
    from modelfloat.ids import ObjectId

    alike = {ObjectId(bytes([1]) * 32), ObjectId(bytes([2]) * 32)}
    scene.patch.setattr("modelfloat.cas.refs.Refs._by_prefix", lambda *_: alike)
    return scene("log", "acme/tiny@abcd")


def _tag_like_a_commit(scene: Scene) -> Outcome:
    scene("--json", "log", "acme/tiny")
    with modelfloat.open(scene.store) as store:
        commit = store.add(scene.file, "acme/commits").commit
    assert commit is not None
    return scene("add", scene.file, "acme/commits/other", "--tag", commit.hex()[:8])


def _get_over(scene: Scene, what: str, address: str) -> Outcome:
    dest = scene.root / "dest"
    if what.endswith("/"):
        (dest / what).mkdir(parents=True)
    else:
        dest.mkdir()
        (dest / what).write_bytes(b"something else")
    return scene("get", *["--force"] * (what != "file"), address, dest)


def _pipe_in_the_way(scene: Scene) -> Outcome:
    from modelfloat.cas.get.landing import part_name

    dest = scene.root / "dest"
    (dest / os.fsdecode(part_name(b"file"))).mkdir(parents=True)
    os.rmdir(dest / os.fsdecode(part_name(b"file")))
    os.mkfifo(dest / os.fsdecode(part_name(b"file")))
    return scene("get", "acme/tiny", dest)


def _locked(scene: Scene) -> Outcome:
    with open(scene.store / "locks" / "store", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return scene("--no-wait", "add", scene.file, "acme/tiny")


def _cannot_lock(scene: Scene) -> Outcome:
    shutil.rmtree(scene.store / "locks")
    (scene.store / "locks").mkdir()
    (scene.store / "locks" / "store").mkdir()
    return scene("add", scene.file, "acme/tiny")


def _link(target: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        folder = scene.folder("file")
        os.symlink(target, folder / "link")
        scene("add", folder, "acme/links")
        return scene("cat", "acme/links/link")

    return provoke


def _link_out(scene: Scene) -> Outcome:
    """`add` follows links that leave a folder, so one is laid into the tree from below."""
    folder = scene.folder("deep/file")
    os.symlink("../../x", folder / "deep" / "link")
    (folder.parent / "x").write_bytes(b"x")
    scene.patch.setattr("modelfloat.cas.add.scan._is_inner", lambda *_: True)
    scene("add", folder, "acme/links")
    return scene("cat", "acme/links/deep/link")


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


def _newer_index(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            txn.put(b"format", b"99")
    return scene("ls")


def _object_gone(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        objects = env.open_db(b"objects")
        with env.begin(write=True) as txn:
            txn.drop(objects, delete=False)
    return scene("ls")


def _chunk_gone(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        chunks = env.open_db(b"chunks", dupsort=True, dupfixed=True)
        with env.begin(write=True) as txn:
            txn.drop(chunks, delete=False)
    return scene.program("cat", "acme/tiny/file")


def _newer(command: str, **fields: object) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        scene.marker(**fields)
        places = {"file": scene.file, "root": scene.root}
        return scene(*(part.format(**places) for part in command.split()))

    return provoke


def _newer_marker(scene: Scene) -> Outcome:
    from modelfloat.backends.marker import decode

    scene.marker(format=9)
    data = (scene.store / "backends/d0/modelfloat.json").read_bytes()
    return scene.raised(lambda: decode(data, "d0"))


def _all_down(command: str, count: int = 3) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        for number in range(count):
            shutil.rmtree(scene.store / "backends" / f"d{number}")
        outcome = scene(*command.split())
        return Outcome(outcome.status, outcome.lines[-1:])

    return provoke


def _mount_flag(call: str, text: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from modelfloat.cli import mountflags

        return scene.raised(lambda: getattr(mountflags, call)(text))

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


def _no_home(scene: Scene) -> Outcome:
    from modelfloat.cli.settings import Flags, resolve

    scene.patch.setattr(os, "geteuid", lambda: 1000)
    scene.patch.setattr(os.path, "expanduser", lambda path: path)
    return scene.raised(lambda: resolve(Flags(), {}))


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


def _mount_on_files(scene: Scene) -> Outcome:
    from modelfloat.fuse.mountpoint import prepare

    return scene.raised(lambda: prepare(str(scene.folder("mine"))))


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


def _damaged_marker(scene: Scene) -> Outcome:
    from modelfloat.backends.marker import decode

    return scene.raised(lambda: decode(b"{", "d0"))


def _dead_mount_of_others(scene: Scene) -> Outcome:
    from modelfloat.fuse import mountpoint
    from modelfloat.fuse.liveness import Life
    from modelfloat.fuse.mountinfo import Mount

    scene.patch.setattr(mountpoint, "mount_at", lambda path: Mount(path, "fuse.sshfs", "0:1"))
    scene.patch.setattr(mountpoint, "life_of", lambda _: Life.DEAD)
    return scene.raised(lambda: mountpoint.prepare(str(scene.folder())))


def _silent_mount(scene: Scene) -> Outcome:
    from modelfloat.fuse import inuse
    from modelfloat.fuse.mountstate import SILENT, MountState

    silent = MountState(7, "", "", 0, problem=SILENT)
    scene.patch.setattr(inuse, "mount_states", lambda _: [silent])
    return scene("gc")


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


def _not_configured(scene: Scene) -> Outcome:
    """A backend is taken out of config.toml while `verify --repair` runs."""
    import trio

    from modelfloat.config import read_config
    from modelfloat.configured import members_of, remark

    path = str(scene.store)
    member = members_of(path, read_config(path))[0]
    scene.config('uuid = "', f'uuid = "{"0" * 32}" # ')
    return scene.raised(lambda: trio.run(remark, path, member))


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


def _text_that_is_not_utf8(scene: Scene) -> Outcome:
    from dataclasses import replace

    from modelfloat.config import read_config, write_config

    config = read_config(str(scene.store))
    odd = replace(config.backends[0], url="/disk\udcff")
    return scene.raised(lambda: write_config(str(scene.store), replace(config, backends=(odd,))))


def _marker_that_cannot_be(count: int, name: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from dataclasses import replace

        from modelfloat.backends.marker import decode, encode

        marker = decode((scene.store / "backends/d0/modelfloat.json").read_bytes(), "d0")
        entry = replace(marker.backends[0], name=name)
        return scene.raised(lambda: encode(replace(marker, backends=(entry,) * count)))

    return provoke


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


NAME = "a" * 300
_HEAD = f'[store]\nid = "{"0" * 32}"\nerasure = "2+1"\n'


def _config_is(scene: Scene, text: str) -> Outcome:
    (scene.store / "config.toml").write_text(text)
    return scene("ls")


def _with_settings(scene: Scene, line: str) -> Outcome:
    path = scene.store / "config.toml"
    path.write_text(f"{path.read_text()}\n[settings]\n{line}\n")
    return scene("ls")


def _one_uuid(scene: Scene) -> Outcome:
    config = (scene.store / "config.toml").read_text().split('uuid = "')
    second = config[1][:32] + config[2][32:]
    return _config_is(scene, 'uuid = "'.join([*config[:2], second, *config[3:]]))


def _machine_denied(scene: Scene) -> Outcome:
    from modelfloat.fuse import machine

    scene.patch.setattr(os, "access", lambda *_: False)
    scene.patch.setattr(machine, "DEVICE", "/dev/null")
    return scene.raised(lambda: machine.check_machine(allow_other=False))


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


def _only_backend(scene: Scene) -> Outcome:
    scene("init", store=scene.root / "one")
    return scene("backend", "rm", "d0", store=scene.root / "one")


def _moved_alone(*arguments: str) -> Provocation:
    """A `backend` command about d0 with all other backends gone."""

    def provoke(scene: Scene) -> Outcome:
        for name in ("d1", "d2"):
            shutil.rmtree(scene.store / "backends" / name)
        return scene("backend", *arguments)

    return provoke


def _restriped_alone(scene: Scene) -> Outcome:
    shutil.rmtree(scene.store / "backends/d2")
    return scene("restripe", "--erasure", "2+2")


def _filled_elsewhere(scene: Scene, content: bytes = b"of another store") -> Path:
    """Another store of three directories, whose acme/tiny, tagged v1, has nothing in common."""
    other = scene.root / "other"
    scene("init", "--erasure", "2+1", store=other)
    scene.file.write_bytes(content)
    scene("add", scene.file, "acme/tiny", "--tag", "v1", store=other)
    return other


def _pushed_elsewhere(address: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        return scene("push", _filled_elsewhere(scene), address)

    return provoke


def _pulled_from_a_backend(scene: Scene) -> Outcome:
    return scene("pull", _filled_elsewhere(scene) / "backends/d0", "acme/tiny")


def _marker_forbids(scene: Scene) -> Outcome:
    import trio

    from modelfloat.backends.local import LocalBackend
    from modelfloat.backends.marker import decode, write_marker

    scene.marker(ro_compat=1 << 31)
    path = scene.store / "backends/d0/modelfloat.json"
    marker, backend = decode(path.read_bytes(), "d0"), LocalBackend("d0", str(path.parent))

    async def write() -> None:
        await write_marker(backend, marker, new=False)

    return scene.raised(lambda: trio.run(write))


def _two_ways_to_log_in(scene: Scene) -> Outcome:
    client = scene.root / "client.json"
    client.write_text('{"installed": {"client_id": "x"}}')
    options = ("--client", client, "--device", "--all-files")
    return scene("backend", "login", "gdrive://folder", *options)


def _join(*places: str) -> Provocation:
    """`find_store` as the API calls it."""

    def provoke(scene: Scene) -> Outcome:
        import trio

        from modelfloat.finding import Place, find_store

        given = [Place(place) for place in places]
        return scene.raised(lambda: trio.run(find_store, str(scene.root / "new"), given))

    return provoke


def _joined(*backends: str) -> Provocation:
    """`init --join` in a new folder."""

    def provoke(scene: Scene) -> Outcome:
        given = [each.format(store=scene.store, root=scene.root) for each in backends]
        options = [option for each in given for option in ("--backend", each)]
        return scene("init", "--join", *options, store=scene.root / "new")

    return provoke


def _joined_elsewhere(scene: Scene) -> Outcome:
    (scene.store / "backends/d0").rename(scene.root / "moved")
    return _joined("{root}/moved")(scene)


def _nobody_answers(scene: Scene) -> Outcome:
    import io

    from modelfloat.cli import join

    scene.patch.setattr("sys.stdin", io.StringIO("\n"))
    return scene.raised(lambda: join._ask("d1", "backends/d1"))


def _two_stores(scene: Scene) -> Outcome:
    scene("init", store=scene.root / "one")
    return _joined("{store}/backends/d0", "{root}/one/backends/d0")(scene)


def _joined_over_another(scene: Scene) -> Outcome:
    scene("init", store=scene.root / "new")
    (scene.root / "new/config.toml").unlink()
    return _joined("{store}/backends/d0")(scene)


def _left_commits(scene: Scene) -> Outcome:
    """A branch is to go back to the commit before its own."""
    scene("add", scene.file, "acme/tiny/more")
    return scene("branch", "acme/tiny", "main", "v1")


def _open_key(scene: Scene) -> Outcome:
    path = scene.root / "key"
    scene("key", "sign", "new", path)
    path.chmod(0o640)
    return scene("key", "sign", "show", path)


def _trusting(scene: Scene, key: str, name: str) -> Outcome:
    """A key is trusted where 64 zeros are, as `ann`."""
    scene("key", "sign", "trust", "0" * 64, "ann")
    return scene("key", "sign", "trust", key, name)


def _trusted_is(scene: Scene, *tables: str) -> Outcome:
    with open(scene.store / "config.toml", "a") as file:
        file.write("".join(f"\n[[trusted]]\n{table}\n" for table in tables))
    return scene("ls")


def _untrusted_ref(scene: Scene) -> Outcome:
    scene("key", "sign", "trust", "0" * 64)
    return scene("ls", "acme/tiny", "--require-signature")


PROVOKED: dict[str, Provocation] = {
    # Wrong usage
    "two names with a slash": plain("cat", "acme"),
    "names are 1 to 128 bytes": plain("ls", f"acme/{NAME}"),
    "is on this disk: diff compares": plain("diff", "acme/tiny", "{file}"),
    "has '.' or '..' in its path": plain("cat", "acme/tiny/../x"),
    "cannot name a ‹branch or tag›": plain("add", "{file}", "acme/tiny", "--tag", "a b"),
    "is the branch that this adds to": plain("add", "{file}", "acme/tiny", "--tag", "main"),
    "is no revision": plain("ls", "acme/tiny@main~x"),
    "is a repository: name a file": plain("cat", "acme/tiny"),
    "‹command› takes VENDOR/NAME[@REV] without": plain("log", "acme/tiny/file"),
    "‹command› takes VENDOR/NAME and": plain("tag", "acme/tiny@main"),
    "undo takes VENDOR/NAME": plain("undo", "acme/tiny/file"),
    "no change of ‹address› is known": plain("log", "--reflog", "acme/none"),
    "there is nothing to undo of": plain("undo", "acme/none"),
    "has a branch ‹name› already": plain("branch", "acme/tiny", "main"),
    "has commits that": _left_commits,
    "restripe takes VENDOR/NAME": plain("restripe", "acme/tiny/x", "--erasure", "2+1"),
    "whole repositories, branches and tags": plain("push", "{root}/other", "acme/tiny/file"),
    "both are folders of one store": plain("push", "{store}", "acme/tiny"),
    "is a file: name a store's folder": plain("push", "{file}", "acme/tiny"),
    "neither a store's folder nor": plain("pull", "{root}", "acme/tiny"),
    "is a backend of this very store": plain("push", "{store}/backends/d0", "acme/tiny"),
    "backends of a store: name": _pulled_from_a_backend,
    "--their-key-file and": plain(
        *("push", "{root}/other", "acme/tiny"),
        *("--their-key-file", "a", "--their-passphrase-file", "b"),
    ),
    "there is nothing at ‹path›": plain("pull", "{root}/other", "acme/tiny"),
    "has gone another way": _pushed_elsewhere("acme/tiny"),
    "is another commit (‹commit›)": _pushed_elsewhere("acme/tiny@v1"),
    "there is no effort": lambda s: s.api(
        lambda store: store.add(s.file, "acme/tiny", effort="most")
    ),
    "there is nothing to add": lambda s: s.api(lambda store: store.add([], "acme/tiny")),
    "a source is empty": plain("add", "", "acme/tiny"),
    "standard input cannot be added": plain("add", "-", "acme/tiny"),
    "is the store itself": plain("add", "{store}", "acme/tiny"),
    "--sync makes a tree": plain("add", "--sync", "{file}", "acme/tiny"),
    "--move and --sync": plain("add", "--move", "--sync", "{root}", "acme/tiny"),
    "--umask ‹text›": _mount_flag("permission_mask", "9"),
    "--uid ‹text›": _mount_flag("user_id", "nobody of this name"),
    "--gid ‹text›": _mount_flag("group_id", "nobody of this name"),
    "numbers end at": _mount_flag("user_id", "99999999999"),
    "add needs SRC and": plain("add", "{file}"),
    "--from-hf-cache has no": plain("add", "--from-hf-cache", "--dry-run"),
    "the target comes last": plain("add", "acme/tiny", "{root}"),
    "--from-hf-cache takes": plain("add", "--from-hf-cache", "{root}", "acme/tiny"),
    "it is no Hugging Face cache": plain("add", "--from-hf-cache", "{root}"),
    "is no branch, and only branches": plain("rm", "acme/tiny@v1/file"),
    "cannot be moved into itself": plain("mv", "acme/tiny/folder", "acme/tiny/folder/inside/"),
    "would nest deeper than ‹400› folders; choose another path": plain(
        "mv", "acme/tiny/file", f"acme/tiny/{'x/' * 401}"
    ),
    "cannot become ‹address›": plain("mv", "acme/tiny/file", "acme/other/file"),
    "restore needs the commit": plain("restore", "acme/tiny/file"),
    "is a commit: rm removes": plain("rm", "acme/tiny@main~1"),
    "--source is no URL": plain("add", "--source", "a b", "{file}", "acme/source"),
    "is no file of a hub's commit": plain(
        "add", "--source", "hf://models/a/b@main/c", "{file}", "acme/source"
    ),
    "--source has credentials": plain(
        "add", "--source", "https://a:b@example.org/c", "{file}", "acme/source"
    ),
    "cannot be relied on: write https": plain(
        "add", "--source", "ftp://example.org/c", "{file}", "acme/source"
    ),
    "--source is of one file": plain(
        "add", "--source", "https://example.org/c", "{file}", "{file}", "acme/source"
    ),
    "--scrub and --period": plain("verify", "--scrub", "acme/tiny"),
    "a scrub needs a period": plain("verify", "--period", "0"),
    "--mount and --cache show two things": plain("stats", "--mount", "--cache"),
    "no disk cache to warm": plain("warm", "--cache-size", "0", "acme/tiny"),
    "the backends of this store are local": plain("warm", "acme/tiny"),
    "the disk cache may take": plain(
        "warm", "--cache-local", "--cache-size", "1MB", "acme/tiny/file"
    ),
    "the disk cache cannot be kept": plain(
        "warm", "--cache-local", "--cache", "{file}", "acme/tiny/file"
    ),
    "--sample ‹text›": plain("verify", "--sample", "many"),
    "--limit ‹text›": plain("verify", "--limit", "many"),
    "is added both as": lambda s: s("add", s.folder("x"), s.folder("x/y"), "acme/both"),
    "is added twice": lambda s: s("add", s.folder("x"), s.folder("x"), "acme/twice"),
    "--all takes DEST alone": plain("get", "--all", "acme/tiny", "{root}/out"),
    "DEST is missing": plain("get", "acme/tiny"),
    "cannot be the name of a file": plain("get", "acme/tiny/file", "{root}/none/.."),
    "write it as k+m": plain("--store", "{root}/new", "init", "--erasure", "many"),
    "K+M means K data shards": plain("--store", "{root}/new", "init", "--erasure", "0+0"),
    "write it as NAME=URL": plain("--store", "{root}/new", "init", "--backend", "/disk"),
    "is unknown or doubled": plain("--store", "{root}/new", "init", "--backend", "a=/d,size=1"),
    "the URL is missing": plain("--store", "{root}/new", "init", "--backend", "a="),
    "the domain is empty": plain("backend", "add", "a", "{root}/a", "--domain", ""),
    "is no number": plain("backend", "add", "a", "{root}/a", "--weight", "heavy"),
    "nothing to change: give": plain("backend", "set", "d0"),
    "the capacity ‹text› cannot be": plain("backend", "add", "a", "{root}/a", "--capacity", "much"),
    "rate cannot be ‹text›": plain("backend", "add", "a", "{root}/a", "--rate", "fast"),
    "capacity must be at least one": plain("backend", "add", "a", "{root}/a", "--capacity", "0"),
    "must be a positive number": plain("backend", "add", "a", "{root}/a", "--weight", "0"),
    "nothing here opens": plain("backend", "add", "a", "gopher://x/y"),
    "names no server": plain("backend", "add", "a", "webdav:///x"),
    "has a path that no folder has": plain("backend", "add", "a", "webdav://host/a/../b"),
    "may hold no user": plain("backend", "add", "a", f"webdavs://me:{SECRET}@host/x"),
    "is not on Google Drive": plain("backend", "login", "d0"),
    "a login needs a client": plain("backend", "login", "gdrive://folder"),
    "names a folder, and --new-folder": plain(
        "backend", "login", "gdrive://x", "--new-folder", "models"
    ),
    "is no client for programs": plain("backend", "login", "gdrive://x", "--client", "{file}"),
    "name the client's file": plain("backend", "login", "gdrive://x", "--client", "{root}/none"),
    "--device and --all-files": _two_ways_to_log_in,
    "--join takes a store as it is": plain("init", "--join", "--erasure", "2+1"),
    "--join needs --backend": plain("init", "--join", "--store", "{root}/new"),
    "nowhere to look for a store": _join(),
    "are the store's: join without": _joined("d0={store}/backends/d0,domain=x"),
    "where is ‹name and URL, for each›?": _joined_elsewhere,
    "nobody said where": _nobody_answers,
    "name those of one store": _two_stores,
    "show the same backend": _joined("{store}/backends/d0", "{store}/backends/d0/"),
    "what was given as": _joined("d1={store}/backends/d0"),
    "nothing of who asks": plain("backend", "add", "a", f"gdrive://me:{SECRET}@folder"),
    "names no node": plain("backend", "add", "a", "ipfs:///x"),
    "names no folder that can be": plain("backend", "add", "a", "ipfs://host/ipfs/x"),
    "names no root": plain("backend", "add", "a", "ipfs+gateway://host/x"),
    "so one of IPFS holds no": plain("backend", "add", "a", f"ipfs://me:{SECRET}@host/x"),
    "cannot be reached": plain("backend", "add", "a", "webdav://127.0.0.1:1/x"),
    "is not on this host": plain("backend", "add", "a", "file://elsewhere/x"),
    "names no directory": plain("backend", "add", "a", "file://"),
    "‹name› cannot name a backend": plain("backend", "add", "a b", "{root}/a"),
    "is not valid UTF-8 and cannot stand": _text_that_is_not_utf8,
    "keeps nothing when": plain("backend", "add", "a", "memory://x"),
    "URL or domain is not valid UTF-8": _marker_that_cannot_be(1, "\udcff"),
    "backends are too many": _marker_that_cannot_be(20_000, "d0"),
    "there is no setting": plain("config", "wiat"),
    "write `config KEY VALUE`": plain("config", "--unset"),
    "says where the store is": plain("config", "store", "/x"),
    "‹place›: ‹value› cannot be": plain("config", "wait", "maybe"),
    "has no home folder": _no_home,
    "the store ‹path› is closed": _closed,
    # Not there
    "there is no store at": plain("--store", "{root}/none", "ls", "--store", "{root}/none"),
    "--backend URL` make it anew": lambda s: s.without_config()("ls"),
    "the store has no backend": plain("backend", "rm", "none"),
    "there is no repository": plain("log", "acme/none"),
    "there is no vendor": plain("ls", "nobody"),
    "has no branch, tag or commit": plain("ls", "acme/tiny@v9"),
    "give more digits": _ambiguous,
    "history is shorter": plain("ls", "acme/tiny@main~9"),
    "there is no ‹address›; `modelfloat ls": plain("cat", "acme/tiny/none"),
    "‹address› is not there; `modelfloat ls": plain("get", "acme/tiny/none", "{root}/out"),
    "is a directory, not a file": plain("cat", "acme/tiny/folder"),
    "goes round in circles": _link("link"),
    "leaves its repository": _link_out,
    "‹source›: ‹reason›": plain("add", "{root}/none", "acme/tiny"),
    "‹repository› has no branch or tag ‹name›": plain("rm", "acme/tiny@none"),
    "‹store› has no repository": plain("push", "{root}/stick", "acme/none"),
    "of ‹store› has no branch or tag": plain("push", "{root}/stick", "acme/tiny@none"),
    "has no branch ‹name›": plain("rm", "acme/tiny@none/file"),
    "there is no folder": plain("get", "acme/tiny/file", "{root}/none/file"),
    "no store is mounted": lambda scene: scene.program("umount", scene.root),
    "no mount of ‹store› is running": plain("stats", "--mount"),
    "no longer names the backend": _not_configured,
    "does not set": plain("config", "--unset", "wait"),
    # In the way
    "is a store already": plain("init"),
    "belongs to another store; join": _joined_over_another,
    "no backend shows which store": _joined("{root}/none"),
    "; a new store takes another": lambda s: s.without_config()("init"),
    "has a backend ‹name› already": plain("backend", "add", "d0", "{root}/d0"),
    "has a tag ‹name› already": plain("add", "{file}", "acme/tiny", "--tag", "v1"),
    "has a ‹branch or tag› ‹name›": plain("add", "{file}", "acme/tiny@v1"),
    "is a commit; choose a name": _tag_like_a_commit,
    "there and would become": lambda s: s("add", s.folder("file/inner"), "acme/tiny"),
    "is no folder there": plain("mv", "acme/tiny/folder", "acme/tiny/file/folder"),
    "is there already; remove it first": plain("mv", "acme/tiny/file", "acme/tiny/folder/inner"),
    "there is a repository ‹name›": lambda s: (
        s("add", s.file, "acme/other") and s("mv", "acme/tiny", "acme/other")
    ),
    "holds what is left out": _sync_file_over_left_out,
    "is there and differs": lambda s: _get_over(s, "file", "acme/tiny"),
    "is there and is a directory": lambda s: _get_over(s, "file/", "acme/tiny"),
    "is there and is no directory": lambda s: _get_over(s, "folder", "acme/tiny"),
    "is there and is no file": _pipe_in_the_way,
    "it is not empty": _mount_on_files,
    "new packs would survive less": _restriped_alone,
    "shards of ‹count› packs stay on": _moved_alone("rm", "d0", "--force"),
    "shards on ‹name› have no place": _moved_alone("drain", "d0"),
    "without ‹name› less would survive": plain("backend", "drain", "d0"),
    "as ‹k+m› less would survive": plain("restripe", "--erasure", "3+1"),
    "is the store's only backend": _only_backend,
    "is a dead mount of type": _dead_mount_of_others,
    # Locks
    "is held by ‹holders›": _locked,
    "‹count› readers": _too_many_readers,
    # Formats
    "is not valid TOML": config_that_says("[store]", "[store"),
    "has no table [store]": lambda s: _config_is(s, "[settings]\n"),
    "tables [[backend]]": lambda s: _config_is(s, f"backend = 1\n{_HEAD}"),
    "a table [settings], in": lambda s: _config_is(s, f"settings = 1\n{_HEAD}"),
    "[store]: `encrypted`": lambda s: _config_is(
        s, _HEAD + 'encrypted = "yes"\n[settings]\nmount = 1\n'
    ),
    "[settings]: ‹key›": lambda s: _config_is(s, f"{_HEAD}[settings]\nmount = []\n"),
    "`weight` must be a number": config_that_says("weight = 1.0", 'weight = "1"'),
    "`state` must be": config_that_says("weight = 1.0", 'state = "up"'),
    "must be there and be text": config_that_says('url = "', "url = 1 #"),
    "lower-case hex digits": config_that_says('uuid = "', 'uuid = "X'),
    "has two backends named": config_that_says('name = "d1"', 'name = "d0"'),
    "are one backend": _one_uuid,
    "which this release does not know": config_that_says("[store]", "[store]\nshade = 1"),
    "which is no setting": lambda s: _with_settings(s, "wiat = 1"),
    "`capacity` must be a whole": config_that_says("weight = 1.0", "capacity = 1.5"),
    "`conditional_put` must be": config_that_says("weight = 1.0", "conditional_put = 1"),
    "‹file or place›: ‹reason›": config_that_says("weight = 1.0", "weight = 0"),
    "has format ‹number›, this release": _newer_index,
    "wrote its marker": _newer_marker,
    "from writing; upgrade": _newer("add {file} acme/tiny", ro_compat=1 << 31),
    "from writing (features": _marker_forbids,
    # Signatures
    "is no signing key": plain("--sign-key", "{file}", "key", "sign", "refs"),
    "who could sign with it": _open_key,
    "is no public key": lambda s: s.api(lambda store: store.trust("abcd")),
    "cannot name a key": plain("key", "sign", "trust", "0" * 64, "a b"),
    "there is no key to sign by": plain("key", "sign", "refs"),
    "or set `sign_key`": plain("key", "sign", "show"),
    "branches and tags are signed": plain("key", "sign", "check", "acme/tiny/file"),
    "trusts no key": plain("ls", "--require-signature"),
    "is trusted; `modelfloat key sign ls`": plain("key", "sign", "untrust", "ann"),
    "there is no branch or tag ‹address›": plain("key", "sign", "check", "acme/tiny@v2"),
    "and no key is overwritten": plain("key", "sign", "new", "{file}"),
    "that key is trusted already": lambda s: _trusting(s, "0" * 64, "other"),
    "another key is called": lambda s: _trusting(s, "1" * 64, "ann"),
    "tables [[trusted]]": lambda s: _config_is(s, f"trusted = 1\n{_HEAD}"),
    "`key` must have 64": lambda s: _trusted_is(s, 'name = "a"\nkey = "X"'),
    "has two trusted keys": lambda s: _trusted_is(
        s, f'name = "a"\nkey = "{"0" * 64}"', f'name = "a"\nkey = "{"1" * 64}"'
    ),
    "is not signed, so nothing": _untrusted_ref,
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

_SITES = "faults/test_two_sites.py"
_HF = "unit/test_hf_import.py"
_CHANGING = "unit/test_changing_files.py"
_IPFS = "unit/test_backend_ipfs.py"
_GATEWAY = "unit/test_ipfs_gateway.py"
_KEYS = "unit/test_keyring.py"
_SHEET = "unit/test_recovery_sheet.py"
_TRANSFER = "unit/test_transfer.py"
_DRIVE = "unit/test_backend_gdrive.py"
_MEGA = "unit/test_backend_mega.py"
_UNLOCK = "unit/test_unlocking.py"
_KEY = "unit/test_cli_key.py"
ELSEWHERE: dict[str, str] = {
    "which is not trusted here": (
        "faults/test_signed_refs.py::test_what_nobody_trusted_signed_is_not"
    ),
    "somebody forged it": "faults/test_signed_refs.py::test_a_forged_ref_shows_nothing",
    "is older than what was seen here": (
        "faults/test_signed_refs.py::test_who_hides_what_came_later_is_found_out"
    ),
    "signed its removal": "faults/test_signed_refs.py::test_only_a_signed_removal_removes",
    "so no ref is made to point there": (
        "faults/test_signed_refs.py::test_undo_signs_nothing_that_nobody_had_signed"
    ),
    "is not in the index as it was signed": (
        "unit/test_trust.py::test_a_head_without_its_record_is_not_believed"
    ),
    "which says what was seen of refs": "unit/test_trust.py::test_a_damaged_file_is_told",
    "what was seen of refs must be kept": (
        "unit/test_trust.py::test_what_cannot_be_noted_is_not_shown"
    ),
    "and nothing is shown without it": (
        "unit/test_trust.py::test_what_cannot_be_noted_is_not_shown"
    ),
    "signatures need ‹package›": "unit/test_trust.py::test_without_the_library_it_is_named",
    "=backend ‹name› did not answer within ‹seconds› s@UnavailableError": (
        "faults/test_joining.py::test_a_place_that_hangs_is_not_waited_for"
    ),
    "=backend ‹name› did not answer within ‹seconds› s@TimedOutError": (
        "unit/test_unlocking.py::test_who_hangs_is_not_waited_for_where_another_answers"
    ),
    "and so short a grace period would delete": (
        "faults/test_mounts_elsewhere.py::test_nothing_is_deleted_at_once_beside_a_mount_elsewhere"
    ),
    "files open, more than it can name": (
        "faults/test_mounts_elsewhere.py::test_a_mount_that_cannot_name_all_keeps_everything"
    ),
    "its objects are gone or damaged": f"{_TRANSFER}::test_objects_that_are_gone_are_named",
    "the store is encrypted and its key was not given": (
        "unit/test_store_cipher.py::test_without_the_key_nothing_is_read_or_named"
    ),
    "no journal record can be opened with this key": (
        "unit/test_encrypted_store.py::test_another_stores_key_opens_nothing"
    ),
    "an encrypted store needs": (
        "unit/test_store_cipher.py::test_without_the_library_the_extra_is_named"
    ),
    "is empty or longer than": f"{_KEYS}::test_passphrases_that_cannot_be",
    "cannot be a key file": f"{_KEYS}::test_key_files_that_cannot_be",
    "has not 32 hex digits": f"{_SHEET}::test_the_store_counts_too",
    "its line `key ‹number›`": f"{_SHEET}::test_a_mistake_is_found_in_its_row",
    "keys, and cannot have more": f"{_KEYS}::test_there_is_an_end_of_slots",
    "is the store's last one": f"{_KEYS}::test_slots_come_change_and_go",
    "‹name› may be ‹ids›": f"{_KEYS}::test_one_is_found_by_label_or_id",
    "a key's label may have": f"{_KEYS}::test_labels_that_cannot_be",
    "the store has no key": f"{_KEYS}::test_one_is_found_by_label_or_id",
    "MiB of memory, and": f"{_KEYS}::test_a_machine_without_the_memory_says_so",
    "is not encrypted and has no keys": f"{_UNLOCK}::test_what_is_in_the_clear_needs_nothing",
    "says that the store is encrypted": (
        f"{_UNLOCK}::test_a_configuration_that_forgot_that_it_is_encrypted"
    ),
    "says that the store is not encrypted": (
        f"{_UNLOCK}::test_a_configuration_that_says_of_one_in_the_clear_that_it_is_encrypted"
    ),
    "is no key of the keyring": (
        f"{_UNLOCK}::test_a_named_key_is_changed_by_whoever_opens_the_store"
    ),
    "the recovery sheet ‹file› cannot be written": (
        f"{_UNLOCK}::test_an_init_overwrites_no_sheet_and_leaves_none_behind"
    ),
    "a recovery sheet overwrites nothing": (
        f"{_UNLOCK}::test_an_init_overwrites_no_sheet_and_leaves_none_behind"
    ),
    "no copy of the store's keyring": f"{_UNLOCK}::test_with_none_left_only_the_sheet_opens_it",
    "no backend has a keyring": f"{_UNLOCK}::test_with_none_left_only_the_sheet_opens_it",
    "no backend takes the new keyring": (f"{_UNLOCK}::test_with_no_backend_up_nothing_is_changed"),
    "is of the store ‹id›": f"{_UNLOCK}::test_the_sheet_of_another_store_is_told_so",
    "which may know of later keys": f"{_UNLOCK}::test_no_backend_is_needed_to_open_it",
    "the backends have the new keys": f"{_UNLOCK}::test_a_full_disk_under_a_change_is_told",
    "‹file› cannot be read: ‹reason›; name the right file": f"{_KEY}::test_files_that_are_no_use",
    "has no text in its first line": f"{_KEY}::test_files_that_are_no_use",
    "cannot be made: ‹reason›": f"{_KEY}::test_files_that_are_no_use",
    "--key-file and --passphrase-file are both": f"{_KEY}::test_files_that_are_no_use",
    "passphrase and key_file are both": f"{_KEY}::test_the_python_api_opens_it",
    "give one of ‹options›, not both": f"{_KEY}::test_files_that_are_no_use",
    "there is no terminal to ask": f"{_KEY}::test_files_that_are_no_use",
    "the two passphrases are not": f"{_KEY}::test_a_passphrase_is_typed_twice",
    "no passphrase was typed": f"{_KEY}::test_a_passphrase_is_typed_twice",
    "cannot be a key: it is": f"{_KEY}::test_files_that_are_no_use",
    "characters, and could be guessed": f"{_KEY}::test_files_that_are_no_use",
    "--recovery-file is of": f"{_KEY}::test_init_wants_a_way_back",
    "--encrypt needs --recovery-file": f"{_KEY}::test_init_wants_a_way_back",
    "no store was made; run it": f"{_KEY}::test_init_wants_a_way_back",
    "does not open this store": f"{_KEYS}::test_nothing_else_does",
    "may take no more now": "unit/test_backend_rated.py::test_a_day_has_so_many_bytes",
    "install it with `pip install": (
        "unit/test_backend_webdav.py::test_without_httpx2_the_extra_is_named"
    ),
    "the folder ‹path› on ‹host› is not there": (
        "unit/test_backend_webdav.py::test_only_create_makes_the_root"
    ),
    "the folder ‹path› on ‹host› is not the one": (
        "unit/test_backend_webdav.py::test_a_root_that_went_is_not_an_empty_one"
    ),
    "‹host› does not answer": (
        "unit/test_backend_webdav.py::test_a_server_that_is_silent_is_given_up"
    ),
    "is no folder in MEGA": f"{_MEGA}::test_urls_that_cannot_be",
    "is not there in the MEGA account": f"{_MEGA}::test_a_folder_that_is_not_there_is_no_empty_one",
    "as MEGA does not": f"{_MEGA}::test_what_another_answers_is_no_answer",
    "MEGA answers ‹code›": f"{_MEGA}::test_an_api_that_stays_busy_is_given_up",
    "a storage server of MEGA": f"{_MEGA}::test_storage_servers_have_trouble_too",
    "the transfer quota of the MEGA": (
        f"{_MEGA}::test_a_used_up_quota_is_left_alone_until_its_time"
    ),
    "the MEGA account has no room": f"{_MEGA}::test_a_full_account_takes_nothing",
    "no backend takes new shards": (
        "faults/test_backend_states.py::test_where_none_takes_shards_that_is_what_is_told"
    ),
    "no account in MEGA is named": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "MEGA knows no such account": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "asks for a second factor": f"{_MEGA}::test_who_may_not_enter_is_told_why",
    "MEGA refuses it": f"{_MEGA}::test_codes_are_told_apart",
    "as no object store does": (
        "unit/test_object_marks.py::test_what_another_answers_is_no_answer"
    ),
    "this login does not show its folder": (
        "unit/test_gdrive_login.py::test_a_folder_that_is_not_shown"
    ),
    "its folder is not there, is in the trash": f"{_DRIVE}::test_a_folder_that_went_is_down",
    "a folder in its folder is gone": f"{_DRIVE}::test_a_folder_inside_that_went_is_made_anew",
    "goes away while it is written": f"{_DRIVE}::test_folders_that_always_go_are_given_up",
    "lists a part of its folder": f"{_DRIVE}::test_half_a_listing_is_none",
    "Google's token server answers": f"{_DRIVE}::test_a_token_server_in_trouble",
    "Google Drive asks us to come back": f"{_DRIVE}::test_refusals_are_told_apart",
    "as Google Drive does not answer": f"{_DRIVE}::test_what_another_answers_is_no_answer",
    "Google Drive has no room": f"{_DRIVE}::test_refusals_are_told_apart",
    "takes no more uploads": f"{_DRIVE}::test_a_day_has_so_many_bytes",
    "Google Drive refuses it": f"{_DRIVE}::test_refusals_are_told_apart",
    "‹what is wrong with its login›": f"{_DRIVE}::test_a_login_that_was_revoked",
    "its login in ‹file› cannot be read": f"{_DRIVE}::test_a_login_that_cannot_be_read",
    "as no WebDAV server does": (
        "unit/test_backend_webdav.py::test_what_another_answers_is_no_answer"
    ),
    "of the node on ‹host› is not there": f"{_IPFS}::test_only_create_makes_the_folder",
    "of the node on ‹host› is not the one": (
        f"{_IPFS}::test_a_node_that_was_set_up_anew_is_not_an_empty_one"
    ),
    "as no IPFS node does": f"{_IPFS}::test_another_name_for_a_block_is_noticed",
    "the node answers ‹command›": f"{_IPFS}::test_what_could_not_be_pinned_leaves_nothing",
    "the node has no room": f"{_IPFS}::test_a_full_node",
    "the node refuses us": f"{_IPFS}::test_a_token_is_sent_to_the_node",
    "the node refuses ‹command›": f"{_IPFS}::test_a_node_that_does_not_do_it",
    "the block ‹cid› (status": f"{_GATEWAY}::test_a_block_that_nobody_has_is_no_missing_key",
    "as no folder of ModelFloat's": f"{_GATEWAY}::test_a_root_that_is_no_folder",
    "serves us no raw block": f"{_GATEWAY}::test_a_gateway_that_serves_no_raw_blocks",
    "a gateway only reads": f"{_GATEWAY}::test_a_gateway_only_reads",
    "the gateway tells no time": f"{_GATEWAY}::test_a_gateway_without_a_clock",
    "the server answers ‹method›": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server refuses ‹method›": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server has no room": "unit/test_backend_webdav.py::test_statuses_are_told_apart",
    "the server refuses our credentials": (
        "unit/test_backend_webdav.py::test_refused_credentials_are_named_but_not_shown"
    ),
    "before this process was forked": "unit/test_api.py::test_a_forked_process_is_told",
    "what a mount of this store shows": (
        "mount/test_add_from_mount.py::test_a_mount_is_no_source_for_its_own_store"
    ),
    "the mount on ‹path› does not say": (
        "mount/test_commands_and_mounts.py::test_gc_refuses_while_a_mount_cannot_be_asked"
    ),
    "the site ‹id› writes": f"{_SITES}::test_who_does_not_wait_deletes_nothing_beside_an_add",
    "none of these decides": (
        f"{_SITES}::test_without_a_ref_home_two_heads_are_seen_and_neither_is_lost"
    ),
    "read-only nothing can be recorded": (
        "unit/test_journal_copies.py::test_a_record_is_refused_where_it_might_not_be_found"
    ),
    "this command stood still": (f"{_SITES}::test_who_slept_before_its_ref_moved_does_not_move_it"),
    "was not tried: it may be": (
        f"{_SITES}::test_a_bucket_that_was_not_tried_may_be_the_home_of_others"
    ),
    "which decides who": (
        f"{_SITES}::test_with_the_ref_home_down_nothing_is_deleted_where_others_may_be"
    ),
    "what another site has stored cannot be read": (
        f"{_SITES}::test_what_a_session_stored_that_cannot_be_read_ends_a_collection"
    ),
    "and ‹name› decides who of them goes first": (
        f"{_SITES}::test_what_decides_between_sites_stays_on_the_list"
    ),
    "sessions cannot be listed": f"{_SITES}::test_sessions_that_cannot_be_listed_end_a_collection",
    "leaves no number for the next lease": (
        "unit/test_lease.py::test_a_number_without_a_next_is_told"
    ),
    "lease is held by the site": (
        "unit/test_lease.py::test_who_does_not_want_to_wait_is_told_who_has_it"
    ),
    "this command lost the lease": (
        "unit/test_lease.py::test_a_dead_holders_lease_is_taken_over_only_when_it_ended"
    ),
    "closed while a file was": "unit/test_reader.py::test_a_store_that_is_closed_says_so",
    "a store ‹is mounted›": "mount/test_cli_mount.py::test_mounting_twice_is_refused",
    "inside the store mounted on": "mount/test_umount.py::test_only_a_folder_outside_is_mounted_on",
    "inside the store ‹path›;": "mount/test_umount.py::test_only_a_folder_outside_is_mounted_on",
    "does not answer, and programs wait": (
        "mount/test_umount.py::test_a_mount_that_hangs_is_told_and_can_be_hidden"
    ),
    "is in use; end what uses it": "mount/test_umount.py::test_who_uses_it_is_listed",
    "made several heads one": "unit/test_refs_by_hand.py::test_heads_made_one_are_not_two_again",
    "had is gone": "unit/test_refs_by_hand.py::test_what_gc_deleted_does_not_come_back",
    "reaches ‹commit› any more": "unit/test_moving_refs.py::test_what_no_ref_reaches_is_not_named",
    "moved meanwhile to": "unit/test_moving_refs.py::test_who_saw_an_older_head_is_told_who_won",
    "was removed meanwhile": "unit/test_moving_refs.py::test_what_was_removed_meanwhile_is_told",
    "has several heads": "fs/test_fs_names.py::test_a_branch_of_two_heads_is_an_error_not_a_choice",
    "written by another get": "unit/test_get.py::test_two_at_once_do_not_write_one_file",
    "contradicts itself in": "faults/test_index_damage.py::test_a_row_that_contradicts_itself",
    "‹index› cannot be used": "unit/test_index_access.py::test_a_damaged_index_is_not_read",
    "was made anew meanwhile": (
        "faults/test_gc_and_others.py::test_a_store_whose_index_was_made_anew_is_opened_again"
    ),
    "in git, expected is": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "the index in ‹path› needs about": (
        "unit/test_add_preflight.py::test_an_index_without_room_is_told"
    ),
    "‹index› cannot be written": "faults/test_index_damage.py::test_no_room_for_the_file_to_grow",
    "‹index› has filled": "faults/test_index_damage.py::test_a_full_map",
    "‹changed› while": f"{_CHANGING}::test_one_that_does_not_stay_is_left_out",
    "=‹file›: ‹reason›@SourceUnreadableError": (
        f"{_CHANGING}::test_one_that_may_not_be_read_is_named"
    ),
    "links to a blob": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "has the SHA-256": f"{_HF}::test_a_damaged_snapshot_is_refused_and_the_rest_goes_on",
    "network filesystem": "faults/test_index_damage.py::test_network_filesystems_are_refused",
    "another code; install reedsolo": (
        "unit/test_erasure_generator.py::test_a_reedsolo_that_computes_another_code_is_refused"
    ),
    "the directory ‹path› is not the one": (
        "unit/test_backend_local.py::test_an_unmounted_disk_is_not_an_empty_one"
    ),
    "its URL ‹problem›": "unit/test_object_urls.py::test_what_cannot_be_is_refused",
    "credentials do not belong": "unit/test_object_urls.py::test_secrets_are_refused_and_not_told",
    "has no bucket ‹bucket›": "unit/test_object_store.py::test_a_bucket_that_is_gone",
    "‹host› ‹reason›; check its URL": "unit/test_object_store.py::test_a_server_that_is_down",
    "has no room left": "unit/test_object_errors.py::test_texts_become_errors",
    "‹host› refuses it": "unit/test_object_store.py::test_keys_that_were_revoked",
    "its keys have characters": "unit/test_credentials.py::test_keys_that_cannot_be_are_refused",
    "no credentials for": "unit/test_credentials.py::test_none_at_all",
    "no keys for the profile": "unit/test_credentials.py::test_a_profile_without_keys",
    "took longer than": "unit/test_backend_limit.py::test_a_call_that_hangs_is_unavailable",
    "the journal was closed": (
        "faults/test_writers.py::test_after_a_failure_a_journal_takes_nothing_more"
    ),
    "=pack ‹id›: ‹left› of ‹all› shards are gone, ‹needed› are needed (gone: ‹shards›)": (
        "faults/test_lost_backends.py::test_three_lost_is_an_error"
    ),
    "are needed (gone: ‹shards›); run": (
        "faults/test_lost_backends.py::test_backends_vanish_under_an_open_store"
    ),
    "temporary file of a comparison": "unit/test_diff.py::test_a_full_disk_is_told",
    "reads back otherwise": "unit/test_get.py::test_a_disk_that_garbles_is_noticed",
    "is read-only: ‹reason›": "unit/test_index_access.py::test_what_cannot_be_written_is_read",
    "cannot be applied to the index": (
        "faults/test_lost_tails.py::test_gc_deletes_nothing_that_a_rebuild_would_find_again"
    ),
    "refs that it made may be missing": (
        "faults/test_lost_tails.py::test_refs_of_lost_records_may_be_added_again_before_gc"
    ),
    "bytes are to be written": "unit/test_get.py::test_no_room_is_told_before_anything_is_written",
    "=‹file›: ‹reason›@ModelFloatError": "unit/test_get.py::test_a_full_disk_names_the_file",
}
"""Rows that need a mount, a second process or a failing disk, and the tests that do it."""

UNPROVOKED: tuple[str, ...] = (
    "was refused (‹reason›); libfuse",
    "=no backend is up",
    "made anew while gc ran",
    "has a name that cannot be stored",
)
"""Rows that no test brings about yet: each is a race, or a state that an earlier check forbids."""
