"""Mounts of an ordinary user, by fusermount3: what they may, what they may not, who sees them."""

import json
import shutil
from collections.abc import Iterator

import pytest

from modelfloat.tests.support.mounted import needs_fuse
from modelfloat.tests.support.namespaces import Namespace, as_root
from modelfloat.tests.support.ordinary import HOME, Ordinary

pytestmark = [
    pytest.mark.mount,
    needs_fuse,
    as_root,
    pytest.mark.skipif(not HOME.is_dir(), reason=f"there is no {HOME} to mount on"),
    pytest.mark.skipif(shutil.which("fusermount3") is None, reason="there is no fusermount3"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv"),
]

MODELS = HOME / "models"
FILE = MODELS / "acme" / "tiny" / "file"


@pytest.fixture
def user() -> Iterator[Ordinary]:
    """A user with a store that holds acme/tiny/file."""
    with Namespace() as namespace:
        user = Ordinary(namespace)
        user.sh("echo content > file")
        for command in (["init"], ["add", "file", "acme/tiny"]):
            done = user.modelfloat(*command)
            assert done.returncode == 0, done.stderr
        yield user
        user.sh(f"fusermount3 -u -z {MODELS}")


def test_mounted_for_oneself(user: Ordinary, binding: str) -> None:
    mounted = user.modelfloat("mount", MODELS)
    assert mounted.returncode == 0, mounted.stderr
    assert f"binding {binding}" in user.modelfloat("doctor").stdout
    assert user.sh(f"cat {FILE}; stat -c '%U %a' {FILE}").stdout == "content\nnobody 444\n"
    for other in (0, 1):
        assert "Permission denied" in user.sh(f"cat {FILE}", other).stderr
    done = user.modelfloat("umount", MODELS)
    assert (done.returncode, done.stderr) == (0, "")
    assert user.sh(f"ls {MODELS}; ls store/run").stdout == ""


def test_mounted_for_all(user: Ordinary) -> None:
    refused = user.modelfloat("mount", MODELS, "--allow-other")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "user_allow_other" in refused.stderr
    user.allow_others()
    options = ("--allow-other", "--uid=1", "--gid=2", "--umask=007")
    mounted = user.modelfloat("mount", MODELS, *options)
    assert mounted.returncode == 0, mounted.stderr
    for reader in (0, 1):
        assert user.sh(f"stat -c '%u %g %a' {FILE}; cat {FILE}", reader).stdout == (
            "1 2 440\ncontent\n"
        )
    assert "Permission denied" in user.sh(f"cat {FILE}", 3).stderr
    assert user.modelfloat("umount", MODELS).returncode == 0


def test_a_mount_by_root_leaves_the_store_to_its_owner(user: Ordinary) -> None:
    """Also one that root made when `run` was not there yet."""
    user.sh("rmdir store/run; echo more > more; head -c 5000000 /dev/urandom > large")
    assert user.modelfloat("add", "large", "acme/large").returncode == 0
    mounted = user.as_root("mount", HOME / "roots")
    assert mounted.returncode == 0, mounted.stderr
    assert user.sh("find store ! -user nobody").stdout == ""
    for command in (["add", "more", "acme/more"], ["gc"]):
        done = user.modelfloat(*command)
        assert done.returncode == 0, done.stderr
    assert user.as_root("umount", HOME / "roots").returncode == 0
    done = user.modelfloat("mount", MODELS)
    assert done.returncode == 0, done.stderr
    holding = f"exec 3< {MODELS}/acme/large/large; echo $$ > holder; exec sleep 600"
    user.sh(f"sh -c '{holding}' > /dev/null 2>&1 & until [ -s holder ]; do sleep 0; done")
    assert user.modelfloat("rm", "acme/large").returncode == 0
    for gc in (user.as_root, user.modelfloat):
        done = gc("gc", "--grace", "0")
        assert (done.returncode, "reading acme/large/large" in done.stdout) == (0, True)
    assert user.sh("cmp large /proc/$(cat holder)/fd/3; kill $(cat holder)").stderr == ""


def test_a_cache_of_roots_leaves_the_store_to_its_owner(user: Ordinary) -> None:
    """Each has a cache of their own; neither keeps the other from it."""
    mounted = user.as_root("mount", "--cache-local", HOME / "roots")
    assert mounted.returncode == 0, mounted.stderr
    assert user.sh(f"cat {HOME}/roots/acme/*/*", 0).returncode == 0
    assert user.as_root("umount", HOME / "roots").returncode == 0
    done = user.modelfloat("warm", "--cache-local", "acme/tiny")
    assert done.returncode == 0, done.stderr
    owners = user.sh("stat -c %u store/cache store/cache/*", 0).stdout.split()
    assert owners == ["65534", "0", "65534"]


def test_a_folder_for_root_alone_is_no_place_for_a_socket(user: Ordinary) -> None:
    """A mount that gc cannot see does not come to be."""
    assert user.sh("chown 0 store/run; chmod 700 store/run", 0).returncode == 0
    done = user.modelfloat("mount", MODELS)
    assert done.returncode == 1
    assert "takes no socket (Permission denied)" in done.stderr
    assert user.sh(f"ls {MODELS}").stdout == ""


def test_a_dead_mount_is_cleared(user: Ordinary) -> None:
    kill = f"kill -9 $(basename store/run/*.sock .sock | cut -d- -f2); ls {MODELS}"
    for end in ("mount", "umount"):
        assert user.modelfloat("mount", MODELS).returncode == 0
        assert user.sh(kill).returncode == 2
        done = user.modelfloat(end, MODELS)
        assert done.returncode == 0, done.stderr
        if end == "mount":
            assert user.sh(f"cat {FILE}").stdout == "content\n"
            assert user.modelfloat("umount", MODELS).returncode == 0
    assert user.sh(f"ls {MODELS}").stdout == ""


def test_who_uses_it_is_listed(user: Ordinary) -> None:
    assert user.modelfloat("mount", MODELS).returncode == 0
    user.sh(f"(exec 3< {FILE}; echo $$ > holder; exec sleep 600) > /dev/null 2>&1 & sleep 0")
    user.sh("until [ -s holder ]; do :; done")
    done = user.modelfloat("umount", MODELS, "--json")
    assert done.returncode == 1
    (holder,) = json.loads(done.stdout)["in_use_by"]
    assert (holder["name"], holder["files"]) == ("sleep", ["acme/tiny/file"])
    assert user.modelfloat("umount", "--lazy", MODELS).returncode == 0
    user.sh(f"kill {holder['pid']}")


def test_a_device_for_root_alone(user: Ordinary) -> None:
    user.close_device()
    done = user.modelfloat("mount", MODELS)
    assert done.returncode == 1
    assert done.stderr == (
        "modelfloat: /dev/fuse may not be opened by you; `chmod 666 /dev/fuse` as root\n"
    )
