"""Every failure is one line on stderr and an exit status."""

import errno
import logging

import pytest

from modelfloat.cli.failures import first_cause, guarded
from modelfloat.cli.settings import Settings
from modelfloat.errors import (
    DamageError,
    DataLostError,
    ModelFloatError,
    NotFoundError,
    UsageError,
)

SETTINGS = Settings("/store")


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (NotFoundError("no such thing"), 1, "no such thing"),
        (UsageError("wrong"), 2, "wrong"),
        (DamageError("damaged"), 3, "damaged"),
        (DataLostError("lost"), 4, "lost"),
        (ModelFloatError("two\nlines"), 1, "two lines"),
        (FileNotFoundError(errno.ENOENT, "x", "/a/b"), 1, "/a/b: No such file or directory"),
        (
            PermissionError(errno.EACCES, "x", b"/\xff"),
            1,
            "/\\xff: Permission denied; change its mode, or run this as its owner",
        ),
        (OSError(errno.ENOSPC, "x"), 1, "No space left on device; free some space"),
        (KeyboardInterrupt(), 130, "interrupted; repeat the command, it goes on where it was"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "unexpected ZeroDivisionError: division by zero; run with --verbose for the traceback",
        ),
    ],
)
def test_one_line_and_a_status(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(SETTINGS, lambda: _raise(error)) == status
    captured = capsys.readouterr()
    assert captured.err == f"modelfloat: {line}\n"
    assert captured.out == ""


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (3, 3)])
def test_the_status_of_work_that_succeeds(result: int | None, status: int) -> None:
    assert guarded(SETTINGS, lambda: result) == status


def test_groups_are_unwrapped_to_our_own_error() -> None:
    ours, second = UsageError("ours"), NotFoundError("second")
    group = ExceptionGroup("a", [ValueError("x"), ExceptionGroup("b", [OSError(), ours]), second])
    assert first_cause(group) is ours


def test_an_interrupt_in_a_group_comes_first() -> None:
    interrupt = KeyboardInterrupt()
    group = BaseExceptionGroup("a", [UsageError("x"), BaseExceptionGroup("b", [interrupt])])
    assert first_cause(group) is interrupt


def test_a_group_of_strangers_is_its_first_error() -> None:
    first = ValueError("first")
    assert first_cause(ExceptionGroup("a", [ExceptionGroup("b", [first]), OSError()])) is first


def test_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(Settings("/store", verbose=True), lambda: _raise(KeyError("k"))) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("modelfloat: unexpected KeyError: 'k'\n")


def test_verbose_shows_the_traceback_of_our_own_errors_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert guarded(Settings("/store", verbose=True), lambda: _raise(UsageError("wrong"))) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("modelfloat: wrong\n")


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        (SETTINGS, {"warning", "error"}),
        (Settings("/store", quiet=True), {"error"}),
        (Settings("/store", verbose=True), {"debug", "info", "warning", "error"}),
    ],
)
def test_what_the_engine_logs(
    settings: Settings, levels: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        log = logging.getLogger("modelfloat.cas.packs.member")
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("backend %s:\n%s", "d1", level)

    assert guarded(settings, work) == 0
    lines = capsys.readouterr().err.splitlines()
    assert set(lines) == {f"modelfloat: {level}: backend d1: {level}" for level in levels}
