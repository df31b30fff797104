"""MEGA's API: commands as JSON, answers or error codes, sessions, and work that it asks for.

`POST /cs` takes a list of commands and answers with a list of as many results, each of which may be
an error's number; or with one number. `POST /sc` tells what happened to the account since. A number
in `id` counts requests: one that is repeated because nothing came back is done once.

Concurrency: commands that change something go one after the other, as MEGA lets one of two wait
with "busy"; a few that only ask may be under way beside them. One login is under way for all who
wait, and goes on when they give up.
"""

import json
import logging
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, cast
from urllib.parse import urlencode

import trio
from httpx2 import Response

from ...errors import BackendError, DeniedError, UnavailableError
from ..http.client import HttpClient, TooLongError
from .address import Address
from .ciphers import decode
from .codes import ABSENT, AGAIN, RATE, SECOND_FACTOR, SESSION, RefusedError, failure
from .flight import Flights
from .nodes import Told, told
from .secrets import password_keys, session_id, solve
from .session import Kept, Session, SessionFile, opened

Json = Mapping[str, object]

ASKERS: Final = 4
"""Commands that only ask, under way at once."""
BUSY: Final = 20.0
"""Seconds for which a busy server is asked again, with LONGEST_WAIT at most between two tries."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
LARGEST: Final = 256 << 20
"""Bytes of an answer: of an account with a million files."""
SHORT: Final = 1 << 20
LOGINS: Final = 2
"""Times that a command is sent with a new session, where MEGA forgot the one before."""
WORKS: Final = 3
"""Times that work is done for one request."""
_BUSY_STATUS: Final = frozenset({429, 500, 502, 503, 504})

log = logging.getLogger(__name__)


class MegaApi:
    """Commands to MEGA on behalf of one account, whose session is kept in the folder `state`."""

    def __init__(self, http: HttpClient, address: Address, state: str | None) -> None:
        self.name = http.name
        self._http = http
        self._address = address
        self._state = state
        self._session: Session | None = None
        self._entering = Flights[Session]()
        self._changing = trio.Lock()
        self._asking = trio.CapacityLimiter(ASKERS)
        self._number = secrets.randbits(31)
        self._clock: tuple[float, float] | None = None
        self.tag = secrets.token_urlsafe(8)[:10]

    async def ask(self, command: Json, key: str = "", most: int = SHORT) -> object:
        """The result of a command that changes nothing; RefusedError for an error's number."""
        async with self._asking:
            return await self._command(command, key, most)

    async def change(self, command: Json, key: str = "") -> object:
        """The result of a command that changes something."""
        async with self._changing:
            return await self._command({**command, "i": self.tag}, key, SHORT)

    async def events(self, since: str) -> Json:
        """What happened since; RefusedError as of commands."""
        session = await self.session()
        answer = await self._post("sc", {"sn": since, "sid": session.sid}, None, "", LARGEST)
        if isinstance(answer, int):
            if answer == SESSION:
                await self.leave(session)
            raise RefusedError(answer)
        return self._object(answer, "")

    def now(self) -> float | None:
        """MEGA's time, Unix; None where it has told none yet."""
        return None if self._clock is None else self._clock[0] + time.monotonic() - self._clock[1]

    async def session(self) -> Session:
        """The session, begun where there is none."""
        return self._session or (await self._entering.join(self._enter))[0]

    async def leave(self, session: Session) -> None:
        """That session is over."""
        if self._session is session:
            self._session = None
            await trio.to_thread.run_sync(self._file().forget, session.sid)

    def strange(self, key: str, problem: str) -> UnavailableError:
        """The error for an answer that MEGA does not give."""
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        return UnavailableError(
            f"{what}: {problem}, as MEGA does not; check whether a proxy or a login page answers "
            "in its place",
            backend=self.name,
            key=key,
        )

    async def _command(self, command: Json, key: str, most: int) -> object:
        for _ in range(LOGINS):
            session = await self.session()
            found = await self._results([command], {"sid": session.sid}, key, most)
            if found != SESSION:
                break
            await self.leave(session)
        return self._checked(found)

    async def _results(
        self, commands: Sequence[Json], query: Mapping[str, str], key: str, most: int = SHORT
    ) -> object:
        """The result of one command; asked again while the server is busy."""
        self._number += 1
        query = {"id": str(self._number), **query}
        body = json.dumps(list(commands)).encode()
        until, wait = trio.current_time() + BUSY, FIRST_WAIT
        while True:
            answer = await self._post("cs", query, body, key, most)
            found = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
            if found not in (AGAIN, RATE) or trio.current_time() + wait > until:
                return found
            await trio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
            wait = min(LONGEST_WAIT, wait * 2)

    def _checked(self, found: object) -> object:
        if isinstance(found, int) and found < 0:
            raise RefusedError(found)
        if isinstance(found, dict) and isinstance(found.get("e"), int) and found["e"] < 0:
            left = found.get("tl")
            raise RefusedError(found["e"], float(left) if isinstance(left, int) else None)
        return found

    def _object(self, found: object, key: str) -> Json:
        if not isinstance(found, dict):
            raise self.strange(key, "it answers with no object")
        return cast("Json", found)

    async def _post(
        self, path: str, query: Mapping[str, str], body: bytes | None, key: str, most: int
    ) -> object:
        """What a request is answered with; AGAIN where only the status says so."""
        url = f"{self._address.endpoint}/{path}?{urlencode(query)}"
        headers = {"Content-Type": "application/json"}
        for _ in range(WORKS):
            async with self._http.ask(
                "POST", url, key=key, headers=headers, parts=[body or b""]
            ) as answer:
                self._note_time(answer)
                challenge = answer.headers.get("x-hashcash", "")
                if answer.status_code != 402 or not challenge:
                    return await self._read(answer, key, most)
            headers["X-Hashcash"] = await self._work(challenge)
        raise self.strange(key, "it asks for work again and again")

    async def _read(self, answer: Response, key: str, most: int) -> object:
        if answer.status_code in _BUSY_STATUS:
            return AGAIN
        if answer.status_code != 200:
            raise self.strange(key, f"its API answers with status {answer.status_code}")
        try:
            data = await self._http.body(answer, most)
            return await _off_loop(data)
        except TooLongError:
            raise self.strange(key, f"its API answers with more than {most} bytes") from None
        except (ValueError, RecursionError):
            raise self.strange(key, "its API answers with no JSON") from None

    def _note_time(self, answer: Response) -> None:
        """Learn MEGA's clock: dates are whole seconds, so what is known may be right within one."""
        try:
            date = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        known = self.now()
        if known is None or not date <= known < date + 2:
            self._clock = date, time.monotonic()

    async def _work(self, challenge: str) -> str:
        """Do what a server asks for before it answers."""
        wanted = threading.Event()
        wanted.set()
        log.info("backend %s: MEGA asks for some seconds of work before it answers", self.name)
        try:
            return await trio.to_thread.run_sync(
                solve, challenge, wanted.is_set, abandon_on_cancel=True
            )
        except ValueError as error:
            raise self.strange("", f"it asks for work that cannot be done ({error})") from None
        finally:
            wanted.clear()

    async def aclose(self) -> None:
        """End a login under way; the session goes on for the next process."""
        await self._entering.aclose()

    # ---- logging in ------------------------------------------------------------------------------

    def _file(self) -> SessionFile:
        return SessionFile(self._state, self._address.endpoint, self._address.known(self.name))

    async def _enter(self) -> Session:
        self._session = await self._kept() or await self._log_in()
        return self._session

    async def _kept(self) -> Session | None:
        account, file = self._address.known(self.name), self._file()

        def load() -> Session | None:
            kept = file.load()
            return None if kept is None else kept.open(account)

        return await trio.to_thread.run_sync(load)

    async def _log_in(self) -> Session:
        """Begin a session, and keep it."""
        account = self._address.known(self.name)
        try:
            greeting = self._object(
                self._checked(await self._login({"a": "us0", "user": account.email})), ""
            )
            version, salt = greeting.get("v"), greeting.get("s", "")
            if not isinstance(version, int) or not isinstance(salt, str):
                raise self.strange("", "its login has no version")
            keys = await trio.to_thread.run_sync(
                password_keys, version, account.email, account.password, decode(salt)
            )
            asked = {"a": "us", "user": account.email, "uh": keys.proof}
            answer = self._object(self._checked(await self._login(asked)), "")
            wrapped, private, sealed = (
                str(answer.get(each, "")) for each in ("k", "privk", "csid")
            )
            master = opened(keys, wrapped)
            session = Session(
                await trio.to_thread.run_sync(session_id, master, private, sealed), master
            )
        except RefusedError as refused:
            raise self._no_entry(refused) from None
        except ValueError as error:
            raise self.strange("", f"its login cannot be understood ({error})") from None
        kept = Kept.of(session, wrapped, version, salt)
        await trio.to_thread.run_sync(self._file().save, kept)
        return session

    async def _login(self, command: Json) -> object:
        return await self._results([command], {}, "")

    def _no_entry(self, refused: RefusedError) -> BackendError:
        if refused.code == ABSENT:
            return DeniedError(
                f"backend {self.name}: MEGA knows no such account, or another password; check "
                "MODELFLOAT_MEGA_USER and MODELFLOAT_MEGA_PASSWORD",
                backend=self.name,
            )
        if refused.code == SECOND_FACTOR:
            return DeniedError(
                f"backend {self.name}: the MEGA account asks for a second factor, which nobody "
                "here can type; take an account without",
                backend=self.name,
            )
        return failure(self.name, "", refused)


async def _off_loop(data: bytes) -> object:
    """JSON read, large ones in a thread; nodes come out as `Told`."""
    if len(data) <= SHORT:
        return _parsed(data)
    return await trio.to_thread.run_sync(_parsed, data)


def _parsed(data: bytes) -> object:
    """The hook is Python, so that while a long text is read other threads get their turns."""
    return json.loads(data, object_hook=_hook)


def _hook(found: dict[str, object]) -> dict[str, object] | Told:
    node = told(found)
    return found if node is None else node
