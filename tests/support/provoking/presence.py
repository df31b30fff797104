"""What is not there, and what is in the way."""

import os
import shutil

import modelfloat
from modelfloat.tests.support.provoking.scene import Outcome, Provocation, Scene, plain


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


def _mount_on_files(scene: Scene) -> Outcome:
    from modelfloat.fuse.mountpoint import prepare

    return scene.raised(lambda: prepare(str(scene.folder("mine"))))


def _dead_mount_of_others(scene: Scene) -> Outcome:
    from modelfloat.fuse import mountpoint
    from modelfloat.fuse.liveness import Life
    from modelfloat.fuse.mountinfo import Mount

    scene.patch.setattr(mountpoint, "mount_at", lambda path: Mount(path, "fuse.sshfs", "0:1"))
    scene.patch.setattr(mountpoint, "life_of", lambda _: Life.DEAD)
    return scene.raised(lambda: mountpoint.prepare(str(scene.folder())))


def _not_configured(scene: Scene) -> Outcome:
    """A backend is taken out of config.toml while `verify --repair` runs."""
    import trio

    from modelfloat.config import read_config
    from modelfloat.configured import members_of
    from modelfloat.marking import remark

    path = str(scene.store)
    member = members_of(path, read_config(path))[0]
    scene.config('uuid = "', f'uuid = "{"0" * 32}" # ')
    return scene.raised(lambda: trio.run(remark, path, member))


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


def _own_site(scene: Scene) -> Outcome:
    from modelfloat.cas.lease.sites import own_site

    return scene("site", "forget", own_site(str(scene.store / "locks")).hex())


def _other_sites(*digits: str) -> Provocation:
    """Sites of these ids, of which backends have just heard, and `site forget` of the first four
    digits."""

    def provoke(scene: Scene) -> Outcome:
        folder = scene.store / "backends/d0/sites"
        folder.mkdir(exist_ok=True)
        for each in digits:
            (folder / each).write_bytes(b"a record")
        return scene("site", "forget", digits[0][:4])

    return provoke


PROVOKED: dict[str, Provocation] = {
    # Not there
    "there is no store at": plain("--store", "{root}/none", "ls", "--store", "{root}/none"),
    "--backend URL` make it anew": lambda s: s.without_config()("ls"),
    "the store has no backend": plain("backend", "rm", "none"),
    "there is no repository": plain("log", "acme/none"),
    "there is no vendor": plain("ls", "nobody"),
    "has no branch, tag or commit": plain("ls", "acme/tiny@v9"),
    "give more digits": _ambiguous,
    "history is shorter": plain("ls", "acme/tiny@main~9"),
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
    "no site ‹digits› is known": plain("site", "forget", "0123abcd"),
    "is no site: give": plain("site", "forget", "abc"),
    # In the way
    "more digits tell which": _other_sites("ab" * 16, "ab" * 15 + "cd"),
    "is this folder's own site": _own_site,
    "forget it with --force": _other_sites("ab" * 16),
    "is a store already": plain("init"),
    "which is not a store's": lambda s: s(
        *("init", "--join", "--backend", s.store / "backends/d0"), store=s.folder("other")
    ),
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
}
