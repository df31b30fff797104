"""Real servers for tests: SeaweedFS (S3 and WebDAV) and rclone (S3, WebDAV), on loopback.

Each keeps its data in a folder and its ports for life, so it can be killed and started again under
the same URLs. It dies with the process that began it. The fixtures stand in tests/conftest.py:

    def test_something(seaweedfs: SeaweedFS) -> None:
        backend = open_backend("d0", seaweedfs.s3_url(seaweedfs.new_bucket()))
        seaweedfs.kill()
        seaweedfs.start()
"""

import base64
import contextlib
import ctypes
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from modelfloat.tests.support.mounted import PATIENCE
from modelfloat.tests.support.waiting import until

HOST: Final = "127.0.0.1"
ACCESS_KEY: Final = "MFTESTACCESSKEY"
SECRET_KEY: Final = "mf-test-secret-key-that-no-output-may-hold"
REGION: Final = "us-east-1"
USER: Final = "mftestuser"
PASSWORD: Final = "mf-test-password-that-no-output-may-hold"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "MODELFLOAT_WEBDAV_USER": USER,
    "MODELFLOAT_WEBDAV_PASSWORD": PASSWORD,
}
"""The environment in which the servers' clients run."""

if TYPE_CHECKING:
    from obstore.store import RetryConfig

_BIN: Final = Path(sys.prefix, "bin")
_PORTS: Final = range(20_000, 32_000)
"""Below those that the kernel gives to connections: while a server is down, one might take its."""
_FOLDERS: Final = 1000
"""Buckets that a server of rclone can give out."""
_PR_SET_PDEATHSIG: Final = 1
_STARTER: Final = ThreadPoolExecutor(1)
"""A server dies with the thread that began it, so that is one which lasts."""


class Server:
    """A program that serves until it is stopped; `ready` are URLs that answer once it does."""

    def __init__(self, folder: Path, command: Sequence[str], ready: Sequence[str]) -> None:
        self.folder = folder
        self._command = [str(_BIN / command[0]), *command[1:]]
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin, unless it runs, and wait until it answers."""
        if self.up:
            return
        self._process = _STARTER.submit(self._begin).result()
        until(self._answers)

    def _begin(self) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                preexec_fn=_die_with_parent,
            )

    def stop(self) -> None:
        """End it as a service manager would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, but for the page cache."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """From now on it takes connections and answers nothing, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def new_name(self) -> str:
        """A name that was not given out before."""
        return _name(next(self._numbers))

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        for each in (signal.SIGCONT, number):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(each)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended:\n{self.log()[-4000:]}"
        return all(map(_answers, self._ready))


class SeaweedFS(Server):
    """`weed mini`: S3 that decides conditional puts, and WebDAV (no user) over the same filer.

    `options` go to the command line, as `-volume.max=1` for one that is soon full.
    """

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        ports = free_ports(11)
        master, volume, filer, s3, webdav, admin = ports[:6]
        grpc = dict(zip(("master", "volume", "filer", "s3", "admin"), ports[6:], strict=True))
        self.s3 = f"http://{HOST}:{s3}"
        self.webdav = f"http://{HOST}:{webdav}"
        self.filer = f"http://{HOST}:{filer}"
        self._sockets = [f"/tmp/seaweedfs-{name}-grpc-{port}.sock" for name, port in grpc.items()]
        (folder / "data").mkdir()
        command = [
            *("weed", "-logtostderr=true", "mini", "-dir=data", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
            *(f"-s3.port={s3}", f"-webdav.port={webdav}", f"-admin.port={admin}"),
            *(f"-{name}.port.grpc={port}" for name, port in grpc.items()),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false"),
            *("-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock", "-webdav.cacheDir=."),
            *("-master.telemetry=false", "-s3.autoCreateBucket=false"),
            # It would take its volumes from the disk's free space, and each bucket needs one.
            *("-volume.max=10000", "-volume.preStopSeconds=0", "-master.volumeSizeLimitMB=256"),
            *options,
        ]
        super().__init__(folder, command, [f"{self.s3}/healthz", self.webdav])

    def _answers(self) -> bool:
        """Its parts find each other after they have begun to answer: an object is put and read."""
        if not super()._answers():
            return False
        try:
            with contextlib.suppress(urllib.error.HTTPError):  # it is there from the last time
                ask("POST", f"{self.filer}/buckets/ready/")
            store = s3_store(self.s3, "ready", {"max_retries": 0})
            obstore.put(store, "object", b"ready")
            return bytes(obstore.get(store, "object").bytes()) == b"ready"
        except (BaseError, OSError):
            return False

    def new_bucket(self) -> str:
        """An empty bucket."""
        name = self.new_name()
        ask("POST", f"{self.filer}/buckets/{name}/")
        return name

    def new_folder(self) -> str:
        """The path of an empty folder in WebDAV, without slashes at its ends."""
        return f"buckets/{self.new_bucket()}"

    def s3_url(self, bucket: str, prefix: str = "") -> str:
        """The URL of a backend in that bucket."""
        return _s3_url(self.s3, bucket, prefix)

    def webdav_url(self, folder: str) -> str:
        """The URL of a backend in that folder."""
        return f"{self.webdav.replace('http', 'webdav', 1)}/{folder}"

    def _end(self, number: int) -> None:
        super()._end(number)
        for path in self._sockets:
            Path(path).unlink(missing_ok=True)

    def _environment(self) -> Mapping[str, str]:
        return CREDENTIALS


class RcloneS3(Server):
    """`rclone serve s3`: S3 that takes a conditional put for a plain one, and overwrites."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        (port,) = free_ports(1)
        self.s3 = f"http://{HOST}:{port}"
        _make_folders(folder)
        keys = f"--auth-key={ACCESS_KEY},{SECRET_KEY}"
        command = ["rclone", "serve", "s3", f"--addr={HOST}:{port}", keys, "--config=/dev/null"]
        super().__init__(folder, [*command, *options, "data"], [self.s3])

    def new_bucket(self) -> str:
        """An empty bucket."""
        return self.new_name()

    def s3_url(self, bucket: str, prefix: str = "") -> str:
        """The URL of a backend in that bucket."""
        return _s3_url(self.s3, bucket, prefix)


class RcloneWebdav(Server):
    """`rclone serve webdav`, which asks for USER and PASSWORD."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        (port,) = free_ports(1)
        self.webdav = f"http://{HOST}:{port}"
        (folder / "data").mkdir()
        command = ["rclone", "serve", "webdav", f"--addr={HOST}:{port}", "--config=/dev/null"]
        command += [f"--user={USER}", f"--pass={PASSWORD}"]
        super().__init__(folder, [*command, *options, "data"], [self.webdav])

    def new_folder(self) -> str:
        """The name of an empty folder."""
        name = self.new_name()
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        # Made by itself: it would not look for what others make.
        ask("MKCOL", f"{self.webdav}/{name}", {"Authorization": f"Basic {token}"})
        return name

    def webdav_url(self, folder: str) -> str:
        """The URL of a backend in that folder."""
        return f"{self.webdav.replace('http', 'webdav', 1)}/{folder}"


def _name(number: int) -> str:
    return f"bucket{number}"


def _make_folders(folder: Path) -> None:
    """For rclone, before it starts: it lists its folder once, and remembers that for minutes."""
    for number in range(1, _FOLDERS + 1):
        (folder / "data" / _name(number)).mkdir(parents=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def s3_store(endpoint: str, bucket: str, retry: "RetryConfig | None" = None) -> S3Store:
    """A bucket as others see it, by the library alone."""
    return S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region=REGION,
        client_options={"allow_http": True},
        retry_config=retry,
    )


def _s3_url(endpoint: str, bucket: str, prefix: str) -> str:
    path = f"{bucket}/{prefix}" if prefix else bucket
    return f"s3://{path}?endpoint={endpoint}&region={REGION}"


def _answers(url: str) -> bool:
    """Whether something speaks HTTP there, and finds no fault with itself."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code < 500
    except OSError:
        return False
    return True


def ask(method: str, url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """What a server answers; HTTPError where it refuses."""
    request = urllib.request.Request(url, method=method, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        said: bytes = answer.read()
    return said


def _die_with_parent() -> None:
    """Between fork and exec: a killed test leaves no server behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
