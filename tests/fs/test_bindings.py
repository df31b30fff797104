"""Which binding a mount is made by, where nobody names one."""

import errno

import pytest

from modelfloat.errors import UnsupportedError
from modelfloat.fuse import bindings, devfuse
from modelfloat.fuse.bindings import AUTO, KERNEL, PYFUSE3, load_binding
from modelfloat.fuse.operations import Operations


class Other:
    """A second binding, which takes everything, or nothing."""

    def __init__(self, *, able: bool) -> None:
        self.able = able
        self.asked = 0

    def mount(self, *_: object) -> str:
        self.asked += 1
        if not self.able:
            raise UnsupportedError("the second")
        return "session"


@pytest.fixture
def other(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Other:
    other = Other(able=getattr(request, "param", True))
    real = bindings.load_binding
    monkeypatch.setattr(
        bindings, "load_binding", lambda name: other if name == PYFUSE3 else real(name)
    )
    monkeypatch.setattr(devfuse.os, "geteuid", lambda: 0)
    monkeypatch.setattr(devfuse, "DEVICE", "/dev/null")
    monkeypatch.setattr(devfuse.shutil, "which", lambda _: None)
    return other


def refuse(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have mount(2) fail."""
    monkeypatch.setattr(devfuse, "_by_kernel", lambda *_: number)


def test_where_the_first_is_not_understood(
    operations: Operations,
    other: Other,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse(monkeypatch, errno.EINVAL)
    binding = load_binding(AUTO)
    assert binding.name == KERNEL
    assert binding.mount(operations, "/nowhere", frozenset()) == "session"
    assert binding.name == PYFUSE3
    assert "the binding kernel does not work here, pyfuse3 is tried" in caplog.text
    assert "Invalid argument" in caplog.text


@pytest.mark.parametrize("other", [False], indirect=True)
def test_where_neither_works(
    operations: Operations,
    other: Other,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse(monkeypatch, errno.ENODEV)
    with pytest.raises(UnsupportedError, match="No such device"):
        load_binding(AUTO).mount(operations, "/nowhere", frozenset())
    assert "the second" in caplog.text


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_what_libfuse_would_be_refused_too(
    operations: Operations, other: Other, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Above all a container that may not mount, which is told what it needs."""
    refuse(monkeypatch, number)
    with pytest.raises(UnsupportedError) as caught:
        load_binding(AUTO).mount(operations, "/nowhere", frozenset())
    assert ("SYS_ADMIN" in str(caught.value)) == (number == errno.EPERM)
    assert other.asked == 0


def test_a_device_that_cannot_be_opened(operations: Operations, other: Other) -> None:
    devfuse.DEVICE = "/dev/none"  # type: ignore[misc]
    with pytest.raises(UnsupportedError, match="/dev/none: No such file"):
        load_binding(AUTO).mount(operations, "/nowhere", frozenset())
    assert other.asked == 0


def test_a_binding_that_is_named_stands_alone(
    operations: Operations, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EINVAL)
    with pytest.raises(UnsupportedError, match="Invalid argument"):
        load_binding(KERNEL).mount(operations, "/nowhere", frozenset())
    assert other.asked == 0
