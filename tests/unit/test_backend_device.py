"""The device under a directory, against a made-up sysfs."""

import os
from pathlib import Path

import pytest

from modelfloat.backends.device import block_domain, device_domain


class Sysfs:
    """Block devices as folders; `dev` numbers a device, links name it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers = root / "dev"
        self.numbers.mkdir(parents=True)

    def add(self, path: str, number: int, **files: str) -> Path:
        folder = self.root / "devices" / path
        folder.mkdir(parents=True)
        text = f"{os.major(number)}:{os.minor(number)}"
        (folder / "dev").write_text(text + "\n")
        for name, content in files.items():
            (folder / name).write_text(content)
        (self.numbers / text).symlink_to(folder)
        return folder


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path / "sys")


DISK, PART_1, PART_2, VOLUME = (os.makedev(8, n) for n in (0, 1, 2, 3))


def test_partitions_count_as_their_disk(sysfs: Sysfs) -> None:
    sysfs.add("sda", DISK, serial="S1")
    sysfs.add("sda/sda1", PART_1, partition="1")
    sysfs.add("sda/sda2", PART_2, partition="2")
    domains = {block_domain(n, str(sysfs.numbers)) for n in (DISK, PART_1, PART_2)}
    assert len(domains) == 1
    assert domains.pop().startswith("disk:")


def test_a_disk_keeps_its_domain_under_another_number(tmp_path: Path) -> None:
    before, after = Sysfs(tmp_path / "before"), Sysfs(tmp_path / "after")
    before.add("sda", DISK, wwid="naa.1")
    before.add("sdb", VOLUME, wwid="naa.2")
    after.add("sdb", VOLUME, wwid="naa.1")
    domain = block_domain(DISK, str(before.numbers))
    assert domain == block_domain(VOLUME, str(after.numbers))
    assert domain != block_domain(VOLUME, str(before.numbers))
    assert "naa" not in domain


def test_a_disk_without_identity_is_its_number(sysfs: Sysfs) -> None:
    sysfs.add("vda", DISK, serial="\n")
    sysfs.add("vda/vda1", PART_1, partition="1")
    assert block_domain(PART_1, str(sysfs.numbers)) == f"dev:{DISK:x}"


@pytest.mark.parametrize("disks", [1, 2])
def test_a_volume_counts_as_its_disk_when_it_has_one(sysfs: Sysfs, disks: int) -> None:
    sysfs.add("sda", DISK, serial="S1")
    sysfs.add("sda/sda1", PART_1, partition="1")
    sysfs.add("sdb", PART_2, serial="S2")
    slaves = sysfs.add("dm-0", VOLUME) / "slaves"
    slaves.mkdir()
    for name, target in [("sda1", "sda/sda1"), ("sdb", "sdb")][:disks]:
        (slaves / name).symlink_to(sysfs.root / "devices" / target)
    same = block_domain(VOLUME, str(sysfs.numbers)) == block_domain(DISK, str(sysfs.numbers))
    assert same is (disks == 1)


def test_a_filesystem_without_a_device_is_its_number(sysfs: Sysfs) -> None:
    number = os.makedev(0, 77)
    assert block_domain(number, str(sysfs.numbers)) == f"dev:{number:x}"


def test_a_filesystem_with_numbers_of_its_own_counts_as_the_device_below(
    sysfs: Sysfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a btrfs subvolume does. Any device node does for the source; its number is what counts."""
    monkeypatch.setattr("modelfloat.backends.device._device_of", lambda _: os.makedev(0, 77))
    null = os.stat(os.devnull).st_rdev
    sysfs.add("sda", null, serial="S1")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "30 1 0:5 / /tmp rw - tmpfs tmpfs rw\n"
        f"36 35 0:77 /sub /mnt rw,noatime shared:1 - btrfs {os.devnull} rw,space_cache\n"
    )
    wanted = block_domain(null, str(sysfs.numbers))
    found = device_domain("/mnt", sysfs=str(sysfs.numbers), mounts=str(mounts))
    assert found == wanted
    mounts.write_text("36 35 0:77 /sub /mnt rw - overlay overlay rw\n")
    found = device_domain("/mnt", sysfs=str(sysfs.numbers), mounts=str(mounts))
    assert found == f"dev:{os.makedev(0, 77):x}"


def test_a_real_directory_has_a_domain(tmp_path: Path) -> None:
    domain = device_domain(str(tmp_path))
    assert domain.partition(":")[0] in {"disk", "dev"}
    assert device_domain(str(tmp_path / "not" / "there")) == domain
