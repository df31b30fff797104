"""Listings of directories noted: a test can tell that nobody waited for one."""

from collections.abc import AsyncGenerator

import pytest

from modelfloat.backends.base import Listed
from modelfloat.backends.local import LocalBackend


def noted_listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of all listings that are asked for from now on."""
    asked: list[str] = []
    real = LocalBackend.list

    async def noted(self: LocalBackend, prefix: str = "") -> AsyncGenerator[Listed, None]:
        asked.append(prefix)
        async for each in real(self, prefix):
            yield each

    monkeypatch.setattr(LocalBackend, "list", noted)
    return asked
