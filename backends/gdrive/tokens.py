"""Access tokens: had for the refresh token, kept until they expire, one asked for at a time.

Source: RFC 6749, section 6, and Google's "OAuth 2.0 for mobile and desktop apps".

Concurrency: one refresh at a time; whoever wants a token meanwhile waits for it. The grant's file
is read and written in worker threads. Other processes write it too, and `backend login` does: so it
is read again before a refresh, and what came of one is written only where its login still stands.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from ...errors import DeniedError
from ..http.client import HttpClient
from .address import Place
from .answers import no_login
from .grant import Grant, find_grant, grant_if_any, is_from_environment, rewrite_grant
from .oauth import refreshed

EARLY: Final = 60.0
"""Seconds before its end from which a token is not used any more: a request takes its time."""

log = logging.getLogger(__name__)


class Tokens:
    """Access tokens of the backend `name`; a `grant` that is not given is looked for when the first
    one is wanted."""

    def __init__(
        self,
        name: str,
        place: Place,
        state: str | None,
        http: HttpClient,
        grant: Grant | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._place = place
        self._state = state
        self._http = http
        self._clock = clock
        self._grant = grant
        self._refused = ""
        self._refreshing = trio.Lock()

    async def take(self) -> str:
        """A token that should be good; DeniedError where nobody logged in, or that was revoked."""
        async with self._refreshing:
            grant = self._grant or await self._find()
            if self._is_over(grant):
                grant = await self._latest(grant)
            if self._is_over(grant):
                grant = await self._refresh(grant)
            self._grant = grant
            return grant.access

    def refused(self, token: str) -> None:
        """That one was no good, whatever its time says: the next is asked for anew."""
        self._refused = token
        if self._grant is not None and self._grant.access == token:
            self._grant = replace(self._grant, access="", expires=0.0)

    def _is_over(self, grant: Grant) -> bool:
        """Whether its access token is none, or no good for much longer."""
        late = self._clock() > grant.expires - EARLY
        return late or grant.access in ("", self._refused)

    async def _latest(self, grant: Grant) -> Grant:
        """What is written down now: of a new login, or with a token that another process got."""
        if self._state is None:
            return grant
        found = await trio.to_thread.run_sync(grant_if_any, self._name, self._place, self._state)
        return found or grant

    async def _find(self) -> Grant:
        found = await trio.to_thread.run_sync(find_grant, self._name, self._place, self._state)
        if found is None:
            raise no_login(self._name, "nobody is logged in to it")
        return found

    async def _refresh(self, grant: Grant) -> Grant:
        try:
            fresh = await refreshed(self._http, self._place, grant, self._clock)
        except DeniedError:
            self._grant = None  # somebody may log in anew while a mount goes on
            raise
        if self._state is not None and not is_from_environment(self._name):
            # Where it cannot be written it is asked for again by the next command.
            with contextlib.suppress(OSError, DeniedError):
                await trio.to_thread.run_sync(
                    rewrite_grant, self._name, self._state, self._place, grant, fresh
                )
        return fresh
