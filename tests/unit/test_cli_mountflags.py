"""Users, groups and permission masks as they are typed at `mount`."""

import grp
import os
import pwd

import pytest

from modelfloat.cli.mountflags import group_id, permission_mask, user_id
from modelfloat.errors import UsageError
from modelfloat.fuse.fsname import name_of, store_of
from modelfloat.fuse.mountoptions import MountOptions


def test_numbers_and_names() -> None:
    assert user_id("1234") == group_id("1234") == 1234
    assert user_id("4294967294") == 4294967294
    nobody = pwd.getpwuid(0)
    assert user_id(nobody.pw_name) == 0
    group = grp.getgrgid(0)
    assert group_id(group.gr_name) == 0


@pytest.mark.parametrize("text", ["no such user", "-1", "4294967295", "9" * 30, ""])
def test_what_is_no_user(text: str) -> None:
    with pytest.raises(UsageError, match="--uid"):
        user_id(text)
    with pytest.raises(UsageError, match="--gid"):
        group_id(text)


def test_masks() -> None:
    assert [permission_mask(text) for text in ("0", "022", "0027", "777")] == [0, 0o22, 0o27, 0o777]
    for text in ("8", "rwx", "1000", "-22", ""):
        with pytest.raises(UsageError, match="--umask"):
            permission_mask(text)


def test_a_mount_shows_what_it_was_told_or_who_mounts() -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    own = MountOptions().look(7)
    assert (own.uid, own.gid, own.umask, own.since_ns) == (os.getuid(), os.getgid(), umask, 7)
    told = MountOptions(uid=0, gid=5, umask=0).look(7)
    assert (told.uid, told.gid, told.umask) == (0, 5, 0)


@pytest.mark.parametrize(
    ("store", "source"),
    [
        ("/srv/store", "/srv/store"),
        ("/srv/a b", "/srv/a b"),
        ("/srv/a,b\\c", "/srv/a\\,b\\\\c"),
        ("/srv/größe", "/srv/gr%C3%B6%C3%9Fe"),
        ("/srv/a\nb", "/srv/a%0Ab"),
        ("/srv/50%C3", "/srv/50%25C3"),
    ],
)
def test_the_store_is_what_is_mounted(store: str, source: str) -> None:
    assert f"fsname={source}" in MountOptions().of_mount(store)
    assert store_of(name_of(store)) == store
