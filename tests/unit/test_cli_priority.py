"""Low priority: every thread, those that come later too. In a process of its own: no way back."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, os, threading
from modelfloat.cli import priority
go, seen = threading.Event(), []

def tell():
    thread = threading.get_native_id()
    number = {251: 252, 30: 31}[priority._IOPRIO_SET[os.uname().machine]]
    disk = ctypes.CDLL(None).syscall(number, 1, thread)
    seen.append((os.getpriority(os.PRIO_PROCESS, thread), disk >> 13))

def wait():
    go.wait()
    tell()

before = threading.Thread(target=wait)
before.start()
priority.lower_priority()
after = threading.Thread(target=tell)
after.start()
go.set()
before.join(), after.join()
tell()
print(seen)
"""


def test_all_threads_have_the_lowest_priorities() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[(19, 3), (19, 3), (19, 3)]", ran.stderr
    assert ran.stderr == ""


def test_what_is_refused_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from modelfloat.cli import priority

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(priority.os, "setpriority", refuse)
    monkeypatch.setattr(priority.platform, "machine", lambda: "vax")
    priority.lower_priority()
    assert [record.getMessage() for record in caplog.records] == [
        "the disk's priority stays as it is: unknown on vax",
        "the processor's priority stays as it is: Permission denied",
    ]
