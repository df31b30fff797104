"""A fake MEGA that speaks its protocol: API, storage servers, and all that may go wrong with them.

    async with serve_mega(Account("ada@example.org", "secret")) as fake:
        backend = open_backend("d0", fake.address("models"), create=True)
        fake.faults.busy = 2

What it takes for the protocol is what other clients speak: tests/faults/test_mega_clients.py shows
that two of them accept it.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

import trio

from modelfloat.tests.servers.httpd import Answer, HangupError, Line, Request, serving
from modelfloat.tests.servers.mega.account import SESSION, Account, Json, b64, unb64
from modelfloat.tests.servers.mega.commands import COMMANDS, EAGAIN, EARGS, ENOENT, ERANGE, Upload
from modelfloat.tests.servers.mega.faults import Faults

ESID, EBLOCKED, EMFAREQUIRED, ETOOMANY, EFAILED = -15, -16, -26, -6, -5
STEP, MOST = 128 << 10, 1 << 20
LONGEST_WAIT = 20.0
LARGEST = 64 << 20
TOKEN_TIMES = 262_144


@dataclass
class FakeMega:
    """The server; `accounts` by address. `storage` is where addresses of bytes point."""

    accounts: dict[str, Account]
    url: str = ""
    storage: str = ""
    api: str = ""
    """Where clients are told to wait for more to happen."""
    faults: Faults = field(default_factory=Faults)
    uploads: dict[str, Upload] = field(default_factory=dict)
    finished: dict[str, bytes] = field(default_factory=dict)
    """Uploads that are whole and have no name yet, by token."""
    addresses: dict[str, tuple[Account, str]] = field(default_factory=dict)
    sessions: dict[str, Account] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    """The names of all commands that came, with "sc" for questions what happened."""
    downloads: list[tuple[int, int]] = field(default_factory=list)
    """First and last byte of each range that was asked for."""
    uploading: trio.Event = field(default_factory=trio.Event)
    """A piece of an upload came."""
    held: dict[str, trio.Event] = field(default_factory=dict)
    """Command → when it is answered; `holding` is set once one waits for that."""
    holding: trio.Event = field(default_factory=trio.Event)
    solved: int = 0
    _answers: dict[tuple[str, str], object] = field(default_factory=dict)
    _challenges: set[str] = field(default_factory=set)

    @property
    def account(self) -> Account:
        """The first account."""
        return next(iter(self.accounts.values()))

    def address(self, folder: str = "models") -> str:
        """The URL of a backend in a folder."""
        return f"mega://{folder}?endpoint={quote(self.url, safe='')}"

    def end_sessions(self) -> None:
        """MEGA forgets who is logged in."""
        self.sessions.clear()

    def end_addresses(self) -> None:
        """Addresses of downloads are over."""
        self.addresses.clear()

    def since(self, account: Account) -> str:
        """The number of the last thing that happened, as it is told."""
        return b64(struct.pack(">Q", len(account.events)))

    async def answer(self, asked: Request) -> Answer:
        """Any request."""
        body = await asked.body(LARGEST)
        _, first, *rest = asked.path.split("/")
        if first == "cs" and asked.method == "POST":
            await self._hold(body)
            return self._api(asked, body)
        if first == "sc" and asked.method == "POST":
            return self._happened(asked)
        if first == "wsc":
            return await self._wait(asked)
        if first == "ul" and asked.method == "POST" and len(rest) == 2:
            return self._take(rest[0], rest[1], body)
        if first == "dl" and asked.method == "GET" and len(rest) in (1, 2):
            return self._give(rest[0], rest[1] if len(rest) > 1 else "")
        return Answer(404)

    async def _hold(self, body: bytes) -> None:
        """Wait where a test wants a command to take long."""
        for command, released in self.held.items():
            if f'"a": "{command}"'.encode() in body:
                self.holding.set()
                await released.wait()

    # ---- the API ---------------------------------------------------------------------------------

    def _api(self, asked: Request, body: bytes) -> Answer:
        if self.faults.strikes("unavailable"):
            return Answer(500)
        if self.faults.strikes("busy"):
            return _json(EAGAIN)
        try:
            commands = json.loads(body)
        except ValueError:
            return _json(EARGS)
        if not isinstance(commands, list) or not all(isinstance(each, dict) for each in commands):
            return _json(EARGS)
        work = self._work(asked, commands)
        if work is not None:
            return work
        sid = asked.query.get("sid", "")
        once = (sid, asked.query.get("id", ""))
        if once not in self._answers or not once[1]:
            self._answers[once] = self._done(commands, sid)
        lost = self.faults.strikes("lost_answers")
        if lost:
            raise HangupError
        return _json(self._answers[once])

    def _done(self, commands: list[Json], sid: str) -> object:
        """Results of commands; one number where the session is none."""
        self.commands += [str(each.get("a")) for each in commands]
        if sid and sid not in self.sessions:
            return ESID
        return [self._command(each, self.sessions.get(sid)) for each in commands]

    def _command(self, command: Json, account: Account | None) -> object:
        name = str(command.get("a"))
        if name in self.faults.refuse:
            return self.faults.refuse.pop(name)
        if name == "us0":
            return self._greet(command)
        if name == "us":
            return self._login(command)
        if account is None:
            return ESID
        known = COMMANDS.get(name)
        return EARGS if known is None else known(self, account, command)

    def _greet(self, command: Json) -> object:
        account = self.accounts.get(str(command.get("user")))
        if account is None or account.version == 1:
            return {"v": 1}  # nobody learns who has an account
        return {"v": 2, "s": b64(account.salt)}

    def _login(self, command: Json) -> object:
        account = self.accounts.get(str(command.get("user")))
        if account is None or command.get("uh") != account.proof:
            return ENOENT
        if account.blocked:
            return EBLOCKED
        if account.second_factor and "mfa" not in command:
            return EMFAREQUIRED
        sid = b"\1" + os.urandom(SESSION - 1)
        self.sessions[b64(sid)] = account
        return account.login(sid)

    def _work(self, asked: Request, commands: list[Json]) -> Answer | None:
        """What logins are asked for first; None where nothing is, or it was done."""
        easiness = self.faults.work
        if easiness is None or not any(each.get("a") in ("us0", "us") for each in commands):
            return None
        if self._solved(asked.headers.get("x-hashcash", ""), easiness):
            self.solved += 1
            return None
        token = b64(os.urandom(48))
        self._challenges.add(token)
        return Answer(402, b"", {"X-Hashcash": f"1:{easiness}:1700000000:{token}"})

    def _solved(self, text: str, easiness: int) -> bool:
        version, _, rest = text.partition(":")
        token, _, prefix = rest.partition(":")
        if version != "1" or token not in self._challenges:
            return False
        data = unb64(prefix) + base64.urlsafe_b64decode(token) * TOKEN_TIMES
        digest = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
        self._challenges.discard(token)
        return digest <= ((easiness & 63) * 2 + 1) << ((easiness >> 6) * 7 + 3)

    # ---- what happened ---------------------------------------------------------------------------

    def _happened(self, asked: Request) -> Answer:
        self.commands.append("sc")
        account = self.sessions.get(asked.query.get("sid", ""))
        if account is None:
            return _json(ESID)
        try:
            (since,) = struct.unpack(">Q", unb64(asked.query.get("sn", "")))
        except (struct.error, ValueError):
            return _json(EARGS)
        if since > len(account.events):
            return _json(ETOOMANY)
        if since == len(account.events):
            return _json({"w": f"{self.api}/wsc/{account.user}", "sn": self.since(account)})
        return _json({"a": account.events[since:], "sn": self.since(account)})

    async def _wait(self, asked: Request) -> Answer:
        """Until something happens, or for a while."""
        user = asked.path.rpartition("/")[2]
        account = next((each for each in self.accounts.values() if each.user == user), None)
        if account is None:
            return Answer(404)
        with trio.move_on_after(LONGEST_WAIT):
            await account.happened.wait()
        return Answer(200, b"0")

    # ---- storage servers -------------------------------------------------------------------------

    def _take(self, name: str, offset: str, body: bytes) -> Answer:
        self.uploading.set()
        upload = self.uploads.get(name)
        if upload is None or not offset.isdecimal():
            return Answer(200, b"-8")
        if self.faults.strikes("cut_uploads"):
            raise HangupError
        if self.faults.strikes("busy_uploads"):
            return Answer(200, b"-3")
        if self.faults.strikes("failed_uploads"):
            del self.uploads[name]
            return Answer(200, str(EFAILED).encode())
        at = int(offset)
        if not _on_bounds(at, len(body), upload.size):
            return Answer(200, str(ERANGE).encode())
        upload.pieces[at] = body
        whole = upload.whole()
        if whole is None:
            return Answer(200, b"")
        upload.token = upload.token or b64(os.urandom(36))
        self.finished[upload.token] = whole
        return Answer(200, upload.token.encode())

    def _give(self, name: str, text: str) -> Answer:
        if self.faults.used_up is not None and not self.faults.quota_in_answer:
            left = {"X-MEGA-Time-Left": str(self.faults.used_up)} if self.faults.used_up else {}
            return Answer(509, b"", left)
        found = self.addresses.get(name)
        if found is None:
            return Answer(403)
        account, handle = found
        data = account.contents.get(handle)
        if data is None:
            return Answer(404)
        first, last = 0, len(data) - 1
        if text:
            match = re.fullmatch(r"(\d+)-(\d+)", text)
            if match is None or int(match[1]) > int(match[2]) or int(match[1]) >= len(data):
                return Answer(416)
            first, last = int(match[1]), min(int(match[2]), last)
        self.downloads.append((first, last))
        size = last + 1 - first
        damaged = self.faults.strikes("damage")

        def bytes_of(start: int, count: int) -> bytes:
            part = data[first + start : first + start + count]
            return bytes([part[0] ^ 1]) + part[1:] if damaged and not start else part

        cut = size // 2 if self.faults.strikes("cut_downloads") else None
        return Answer(200, bytes_of, {"Content-Type": "application/octet-stream"}, size, cut)


@contextlib.asynccontextmanager
async def serve_mega(*accounts: Account, line: Line | None = None) -> AsyncIterator[FakeMega]:
    """A MEGA with these accounts, as long as the context lasts."""
    fake = FakeMega({account.email: account for account in accounts})
    async with serving(fake.answer, line) as url:
        fake.url = fake.storage = fake.api = url
        yield fake


def _on_bounds(at: int, length: int, size: int) -> bool:
    """Whether a piece begins and ends where chunks do."""
    bounds, step, chunk = {0, size}, 0, STEP
    while step < size:
        bounds.add(step)
        step += chunk
        chunk = min(chunk + STEP, MOST)
    return at in bounds and at + length in bounds and (length > 0 or size == 0)


def _json(found: object) -> Answer:
    return Answer(200, json.dumps(found).encode(), {"Content-Type": "application/json"})
