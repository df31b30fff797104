"""Reading the system's mounts, and tuning one."""

from pathlib import Path

import pytest

from modelfloat.fuse import mountinfo
from modelfloat.fuse.mountinfo import Mount, mount_at, mounts, parse_mountinfo
from modelfloat.fuse.tuning import request_size, settings_of, told, tune

SAMPLE = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:27 / /srv/a\040folder ro,nosuid shared:5 master:2 - fuse.modelfloat /srv/the\040store ro
31 22 0:28 / /srv/other rw - fuse.sshfs host: rw
40 31 0:29 / /srv/other ro - fuse.modelfloat modelfloat ro
half a line
"""
OURS = Mount("/srv/a folder", "fuse.modelfloat", "0:27", 30, "/srv/the store")


def test_a_carriage_return_in_a_name_ends_no_line() -> None:
    data = SAMPLE.replace(rb"a\040folder", b"a\rfolder")
    assert "/srv/a\rfolder" in [mount.path for mount in parse_mountinfo(data)]


def test_lines_become_mounts() -> None:
    found = parse_mountinfo(SAMPLE)
    assert [mount.type for mount in found] == [
        "ext4",
        "fuse.modelfloat",
        "fuse.sshfs",
        "fuse.modelfloat",
    ]
    assert found[1] == OURS
    assert found[1].minor == 27


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mountinfo"
    path.write_bytes(SAMPLE)
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", str(path))


@pytest.mark.usefixtures("sample")
def test_ours_and_the_topmost() -> None:
    assert [mount.path for mount in mounts()] == ["/srv/a folder", "/srv/other"]
    assert mount_at("/srv/a folder/") == OURS
    other = mount_at("/srv/./other")
    assert other is not None
    assert other.device == "0:29"
    assert mount_at("/srv") is None


@pytest.mark.usefixtures("sample")
def test_a_link_to_a_mount_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    line = b"9 1 0:9 / %s ro - fuse.modelfloat modelfloat ro\n" % bytes(target.resolve())
    path = tmp_path / "linked"
    path.write_bytes(line)
    monkeypatch.setattr(mountinfo, "_MOUNTINFO", str(path))
    found = mount_at(str(tmp_path / "link"))
    assert found is not None
    assert found.path == str(target.resolve())


def test_what_is_there_is_tuned_and_told(tmp_path: Path) -> None:
    bdi = tmp_path / "class" / "bdi" / "0:27"
    assert told("0:27", str(tmp_path)) == ""
    bdi.mkdir(parents=True)
    (bdi / "read_ahead_kb").write_text("128\n")
    assert told("0:27", str(tmp_path)) == (
        "the kernel asks for 128 KiB at a time, root can make that 1024 (docs/mounting.md)"
    )
    assert tune(OURS, str(tmp_path)) == ["read_ahead_kb=1024"]
    assert (bdi / "read_ahead_kb").read_text() == "1024\n"
    assert told("0:27", str(tmp_path)) == "the kernel asks for 1024 KiB at a time"
    (bdi / "read_ahead_kb").write_text("4096\n")
    assert request_size("0:27", str(tmp_path)) == 1 << 20
    (bdi / "read_ahead_kb").write_text("nonsense\n")
    assert request_size("0:27", str(tmp_path)) is None
    assert len(settings_of(OURS)) == 3


def test_what_may_not_be_tuned_stays(tmp_path: Path) -> None:
    for path in settings_of(OURS, str(tmp_path)):
        Path(path).mkdir(parents=True)  # a folder cannot be opened for writing, even by root
    assert tune(OURS, str(tmp_path)) == []
