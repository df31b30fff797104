"""Mounts as containers see them: handed on to another mount namespace, ended, and made again.

The host is a namespace too, whose mounts are shared as systemd has it, so nothing leaks out.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.control import mount_states
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import PATIENCE, needs_fuse
from modelfloat.tests.support.namespaces import Namespace, as_root
from modelfloat.tests.support.waiting import until

pytestmark = [pytest.mark.mount, needs_fuse, as_root]


class Host:
    """A namespace with a store, and a folder `models` on which it is mounted."""

    def __init__(self, folder: Path, namespace: Namespace) -> None:
        self.folder = folder
        self.namespace = namespace
        self.models = folder / "host" / "models"

    def mount(self) -> None:
        self.namespace.modelfloat("--store", self.folder / "store", "mount", self.models)

    def unmount(self, *options: str) -> None:
        self.namespace.modelfloat("umount", *options, self.models)

    @contextlib.contextmanager
    def container(self, handed: Path) -> Iterator[Namespace]:
        """A namespace that sees the folder `handed` at `inside`, as with `-v …:rslave`."""
        inside = self.folder / "inside"
        with Namespace("slave", self.namespace) as container:
            made = container.sh(f"mount --rbind {handed} {inside} && mount --make-rslave {inside}")
            assert made.returncode == 0, made.stderr
            yield container

    def seen(self, container: Namespace, below: str = "") -> str:
        """The file's content in a container, or why it cannot be read."""
        done = container.run("cat", self.folder / "inside" / below / "acme" / "tiny" / "file")
        return done.stdout or done.stderr.rpartition(": ")[2].strip()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "file").write_bytes(b"content")
    store = tmp_path / "store"
    assert modelfloat("--store", store, "init").returncode == 0
    assert modelfloat("--store", store, "add", tmp_path / "file", "acme/tiny").returncode == 0
    (tmp_path / "host" / "models").mkdir(parents=True)
    (tmp_path / "inside").mkdir()
    with Namespace("shared") as namespace:
        host = Host(tmp_path, namespace)
        yield host
        namespace.sh(f"umount -l {host.models}")


GONE = "No such file or directory"


def test_the_folder_above_a_mount_shows_it_whenever_it_is_made(host: Host) -> None:
    """As deploy/README.md advises: it need not be there first, and survives being made again."""
    with host.container(host.models.parent) as container:
        assert host.seen(container, "models") == GONE
        host.mount()
        assert host.seen(container, "models") == "content"
        host.unmount()
        assert host.seen(container, "models") == GONE
        host.mount()
        assert host.seen(container, "models") == "content"


def test_a_mount_made_before_the_container(host: Host) -> None:
    host.mount()
    with host.container(host.models.parent) as container:
        assert host.seen(container, "models") == "content"
        host.unmount()
        host.mount()
        assert host.seen(container, "models") == "content"


def test_a_folder_handed_on_before_it_was_mounted_on(host: Host) -> None:
    with host.container(host.models) as container:
        host.mount()
        assert host.seen(container) == "content"
        host.unmount()
        host.mount()
        assert host.seen(container) == "content"


def test_who_reads_in_a_container_is_told(host: Host) -> None:
    host.mount()
    with host.container(host.models.parent) as container:
        path = host.folder / "inside" / "models" / "acme" / "tiny" / "file"
        command = [*container.entering, "sh", "-c", f"exec 3< {path}; echo ready; exec sleep 600"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"ready\n"
            with pytest.raises(AssertionError, match="is in use"):
                host.unmount()
            host.unmount("--lazy")
            reader.kill()
            reader.wait(PATIENCE)


def test_a_container_that_got_the_mount_itself_keeps_it(host: Host) -> None:
    """It does not see the next one, and the daemon serves it until the container is gone."""
    host.mount()
    with host.container(host.models) as container:
        host.unmount()
        host.mount()
        assert host.seen(container) == "content"
        assert len(mount_states(str(host.folder / "store"))) == 2
    until(lambda: len(mount_states(str(host.folder / "store"))) == 1)
