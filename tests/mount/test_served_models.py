"""Real stores behind real mounts: whole, with backends gone, and with too many gone."""

import errno
import itertools
import json
import mmap
import os
import random
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.stores import weights
from modelfloat.tests.support.waiting import until

pytestmark = pytest.mark.mount

NAMES = [f"d{i}" for i in range(6)]


class Shop:
    """A store of 4+2 with one model of several chunks and extents, and where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.point = folder / "models"
        self.data = weights(folder / "model.safetensors", 23_000_000)
        self.file = self.point / "acme" / "model" / "model.safetensors"
        self("init", "--erasure", "4+2")
        self("add", folder / "model.safetensors", "acme/model")

    def __call__(self, *arguments: object, expected: int = 0) -> str:
        """Run a command on the store; its output."""
        done = modelfloat("--store", self.store, *arguments)
        assert done.returncode == expected, done.stderr
        return done.stdout + done.stderr

    def mount(self) -> None:
        self("mount", self.point)

    def unmount(self) -> None:
        if mount_at(str(self.point)) is not None:
            self("umount", self.point)

    def lose(self, *names: str) -> None:
        for name in names:
            shutil.rmtree(self.store / "backends" / name)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def shop(template: Shop, tmp_path: Path) -> Iterator[Shop]:
    """A copy of the store, unmounted in the end whatever happens."""
    copy = object.__new__(Shop)
    copy.store, copy.point, copy.data = tmp_path / "store", tmp_path / "models", template.data
    copy.file = copy.point / "acme" / "model" / "model.safetensors"
    shutil.copytree(template.store, copy.store)
    yield copy
    copy.unmount()


def test_read_mapped_and_opened_by_safetensors(shop: Shop) -> None:
    shop.mount()
    assert shop.file.read_bytes() == shop.data
    with open(shop.file, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        for offset in random.Random(1).sample(range(len(shop.data) - 9000), 50):
            assert view[offset : offset + 9000] == shop.data[offset : offset + 9000]
    with safe_open(shop.file, "numpy") as model:
        tensor = model.get_tensor("layer.4.weight")
    assert tensor.tobytes() == shop.data[-tensor.size :]


def test_threads_read_at_random(shop: Shop) -> None:
    shop.mount()
    wrong: list[int] = []

    def read(seed: int) -> None:
        chance = random.Random(seed)
        fd = os.open(shop.file, os.O_RDONLY)
        for _ in range(100):
            offset, size = chance.randrange(len(shop.data)), chance.choice([1, 4096, 300_000])
            if os.pread(fd, size, offset) != shop.data[offset : offset + size]:
                wrong.append(offset)
        os.close(fd)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_all_pairs_of_lost_backends_are_served(shop: Shop) -> None:
    shop.mount()
    for pair in itertools.combinations(NAMES, 2):
        shop.unmount()
        for name in pair:
            (shop.store / "backends" / name).rename(shop.store / name)
        shop.mount()
        assert shop.file.read_bytes() == shop.data, pair
        for name in pair:
            (shop.store / name).rename(shop.store / "backends" / name)


def test_backends_may_vanish_under_a_mount(shop: Shop) -> None:
    shop.mount()
    with open(shop.file, "rb") as file:
        assert file.read(1000) == shop.data[:1000]
        shop.lose("d2", "d5")
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert file.read() == shop.data[1000:]


def test_three_lost_is_eio_and_exit_status_4(shop: Shop) -> None:
    shop.lose("d0", "d2", "d3")
    shop.mount()
    with pytest.raises(OSError, match="Input/output") as failed:
        shop.file.read_bytes()
    assert failed.value.errno == errno.EIO
    (log,) = (shop.store / "log").iterdir()
    line = next(line for line in log.read_text().splitlines() if "error: read of" in line)
    for told in (
        "read of acme/model/model.safetensors",
        f"pid {os.getpid()}",
        "chunk ",
        "pack ",
        "3 of 6 shards are gone, 4 are needed (gone: ",
        " on d0",
        " on d2",
        " on d3",
    ):
        assert told in line
    said = shop("cat", "acme/model/model.safetensors", expected=4)
    assert "3 of 6 shards are gone" in said
    assert "Traceback" not in said
    assert "model.safetensors" in shop("verify", expected=4)


def test_a_tag_that_is_removed_and_made_again(shop: Shop, tmp_path: Path) -> None:
    first = weights(tmp_path / "model.safetensors", 2_000_000, "first")
    shop("add", "--tag=v1", tmp_path / "model.safetensors", "acme/tagged")
    shop.mount()
    tagged = shop.point / "acme" / "tagged@v1" / "model.safetensors"
    assert tagged.read_bytes() == first
    shop("rm", "acme/tagged@v1")
    changed = weights(tmp_path / "model.safetensors", 3_000_000, "changed")
    shop("add", "--tag=v1", tmp_path / "model.safetensors", "acme/tagged")
    until(lambda: tagged.stat().st_size == len(changed))
    assert tagged.read_bytes() == changed


def test_a_new_commit_shows_without_remounting(shop: Shop, tmp_path: Path) -> None:
    shop.mount()
    held = open(shop.file, "rb")  # noqa: SIM115 - it must stay open over the commit
    changed = weights(tmp_path / "model.safetensors", 3_000_000, "changed")
    shop("add", tmp_path / "model.safetensors", "acme/model")
    shop("add", tmp_path / "model.safetensors", "acme/other")
    until(lambda: shop.file.stat().st_size == len(changed))
    assert shop.file.read_bytes() == changed
    assert (shop.point / "acme" / "other" / "model.safetensors").read_bytes() == changed
    assert held.read() == shop.data
    held.close()
    old = shop.point / "acme" / "model@main~1" / "model.safetensors"
    assert old.read_bytes() == shop.data


def test_what_a_mount_reads_is_told(shop: Shop) -> None:
    shop("mount", shop.point, "--metrics", "0")
    assert shop.file.read_bytes() == shop.data
    (told,) = json.loads(shop("stats", "--mount", "--json"))
    counts, size = told["counts"], len(shop.data)
    assert told["mountpoint"] == str(shop.point)
    assert (counts["served"], counts["failed"]) == (size, 0)
    assert told["latency"]["longest"] >= told["latency"]["p99"] > 0
    # More where shards were late, or came after the answer: parity was read as well.
    assert counts["fetched"] > 0.9 * size
    backends = told["backends"]
    assert [each["name"] for each in backends] == NAMES
    assert sum(each["fetched"] for each in backends) > 0.9 * size
    assert all(each["latency"]["p50"] > 0 for each in backends if each["fetched"])
    assert told["ahead_used_rate"] > 0.9
    with urllib.request.urlopen(told["metrics"], timeout=60) as answer:
        assert f"modelfloat_read_bytes_total {size}\n" in answer.read().decode()
    assert f"metrics at {told['metrics']}\n" in shop("stats", "--mount")
