"""How commands and calls are used wrongly."""

import os
from pathlib import Path

import modelfloat
from modelfloat.tests.support.provoking.scene import Outcome, Provocation, Scene, plain


def _closed(scene: Scene) -> Outcome:
    store = modelfloat.open(scene.store)
    store.close()
    return scene.raised(store.stats)


def _mount_flag(call: str, text: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from modelfloat.cli import mountflags

        return scene.raised(lambda: getattr(mountflags, call)(text))

    return provoke


def _no_home(scene: Scene) -> Outcome:
    from modelfloat.cli.settings import Flags, resolve

    scene.patch.setattr(os, "geteuid", lambda: 1000)
    scene.patch.setattr(os.path, "expanduser", lambda path: path)
    return scene.raised(lambda: resolve(Flags(), {}))


NAME = "a" * 300


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


def _left_commits(scene: Scene) -> Outcome:
    """A branch is to go back to the commit before its own."""
    scene("add", scene.file, "acme/tiny/more")
    return scene("branch", "acme/tiny", "main", "v1")


PROVOKED: dict[str, Provocation] = {
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
    "no change of ‹address› is known": plain("log", "--reflog", "acme/none"),
    "there is nothing to undo of": plain("undo", "acme/none"),
    "has a branch ‹name› already": plain("branch", "acme/tiny", "main"),
    "has commits that": _left_commits,
    "whole repositories, branches and tags": plain("push", "{root}/other", "acme/tiny/file"),
    "both are folders of one store": plain("push", "{store}", "acme/tiny"),
    "is a file: name a store's folder": plain("push", "{file}", "acme/tiny"),
    "neither a store's folder nor": plain("pull", "{root}", "acme/tiny"),
    "is a backend of this very store": plain("push", "{store}/backends/d0", "acme/tiny"),
    "backends of a store: name": _pulled_from_a_backend,
    "--erasure is for a directory": lambda s: (
        s("--quiet", "push", s.root / "stick", "acme/tiny")
        and s("push", s.root / "stick", "acme/tiny", "--erasure", "4+2")
    ),
    "nor is a directory that push makes": plain(
        *("push", "{root}/stick", "acme/tiny", "--their-passphrase-file", "{file}")
    ),
    "--their-key-file and --their-passphrase-file are both": plain(
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
    "is a commit: undo takes back": plain("undo", "acme/tiny@main~1"),
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
    "there is no setting": plain("config", "wiat"),
    "write `config KEY VALUE`": plain("config", "--unset"),
    "says where the store is": plain("config", "store", "/x"),
    "‹place›: ‹value› cannot be": plain("config", "wait", "maybe"),
    "has no home folder": _no_home,
    "the store ‹path› is closed": _closed,
}
