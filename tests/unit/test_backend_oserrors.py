"""Every error of the operating system becomes one class, with backend and key in it."""

import errno

import pytest

from modelfloat.backends.oserrors import translate
from modelfloat.errors import (
    BackendError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)

CASES: list[tuple[int, type[BackendError]]] = [
    (errno.ENOENT, KeyNotFoundError),
    (errno.ENOTDIR, KeyNotFoundError),
    (errno.EISDIR, KeyNotFoundError),
    (errno.ENOSPC, QuotaError),
    (errno.EDQUOT, QuotaError),
    (errno.EFBIG, QuotaError),
    (errno.EACCES, DeniedError),
    (errno.EPERM, DeniedError),
    (errno.EROFS, DeniedError),
    (errno.EIO, UnavailableError),
    (errno.ESTALE, UnavailableError),
    (errno.ENOTCONN, UnavailableError),
    (errno.EMFILE, UnavailableError),
    (errno.ETIMEDOUT, UnavailableError),
    (errno.EHOSTDOWN, UnavailableError),
]


@pytest.mark.parametrize(("number", "wanted"), CASES)
def test_translation(number: int, wanted: type[BackendError]) -> None:
    error = translate(OSError(number, "said"), "d2", "packs/a")
    assert type(error) is wanted
    assert (error.backend, error.key) == ("d2", "packs/a")
    assert str(error).startswith("backend d2: packs/a")
    assert "\n" not in str(error)


def test_an_error_without_a_number_is_worth_a_retry() -> None:
    error = translate(OSError("strange"), "d2", "")
    assert type(error) is UnavailableError
    assert str(error).startswith("backend d2: strange")
