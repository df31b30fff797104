"""A backend of the store that this folder does not use: it counts as down, with the reason why.

So who reads, checks or deletes knows that there is more than can be asked here.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn

from ..errors import UnavailableError
from ..ids import Key
from .base import Buffer, Listed, Properties, Usage


class AbsentBackend:
    """Refuses every call; nothing is sent anywhere. `url` is told without secrets, `why` says why
    it is not used here."""

    def __init__(self, name: str, url: str, domain: str, why: str) -> None:
        self._name = name
        self._why = why
        self._properties = Properties(url, domain, False, 1, 0.0)

    @property
    def name(self) -> str:
        """What it is called here."""
        return self._name

    @property
    def properties(self) -> Properties:
        """As far as a marker tells."""
        return self._properties

    def _refuse(self) -> NoReturn:
        url = self._properties.url
        raise UnavailableError(
            f"backend {self._name}: others of this store use it, at {url}, and this folder does "
            f"not: {self._why}; when it can be reached, `modelfloat backend add {self._name} "
            f"{url}` has it used here too",
            backend=self._name,
        )

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """UnavailableError, as all others."""
        self._refuse()

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `put`."""
        self._refuse()

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `put`."""
        self._refuse()

    async def head(self, key: Key) -> int:
        """See `put`."""
        self._refuse()

    async def age(self, key: Key) -> float:
        """See `put`."""
        self._refuse()

    async def delete(self, key: Key) -> None:
        """See `put`."""
        self._refuse()

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `put`."""
        self._refuse()
        yield

    async def usage(self) -> Usage:
        """See `put`."""
        self._refuse()

    async def aclose(self) -> None:
        """Nothing was opened."""
