"""A user logs in: by a browser on this machine, or by a code typed on another one.

By the browser: Google's page sends it back to a port of ours on this machine, with a code that only
the verifier which we keep turns into tokens (PKCE). By a code: the user types it at Google's
address, and we ask every few seconds whether that was done. Sources: RFC 8252 (loopback redirect),
RFC 7636 (PKCE), RFC 8628 (device flow), Google's "OAuth 2.0 for mobile and desktop apps" and "…
for TV and limited-input devices", by which a device may ask for its own files alone.

A user of ours brings a client of their own: what a program ships with would be everybody's.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import trio

from ...errors import DeniedError, NotFoundError, UnavailableError, UsageError
from ..http.client import HttpClient
from .address import Place
from .answers import no_login, stranger
from .api import DriveApi
from .grant import Grant
from .homes import FOLDER, Homes
from .known import Known
from .oauth import DEVICE, Said, post, with_access

OWN_FILES: Final = "https://www.googleapis.com/auth/drive.file"
"""What we ask for: the files and folders that we made, and no others."""
ALL_FILES: Final = "https://www.googleapis.com/auth/drive"
PATIENCE: Final = 600.0
"""Seconds that a user has to say yes in a browser."""
SLOWER: Final = 5.0
"""Seconds by which a device that asks too often slows down (RFC 8628, 3.5)."""
LARGEST: Final = 64 << 10
_HEAD: Final = 16 << 10
_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>ModelFloat</title></head><body><p>{}</p></body></html>"
)

Tell = Callable[[str], None]


def read_client(path: str) -> Grant:
    """The client in a file as Google's console gives it; UsageError where it is none."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(LARGEST))
        client = document["installed"]
        id_, secret = client["client_id"], client.get("client_secret", "")
        texts = isinstance(id_, str) and isinstance(secret, str)
        good = texts and id_ != "" and f"{id_}{secret}".isprintable()
    except FileNotFoundError:
        raise NotFoundError(f"{path} is not there; name the client's file") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name the right file") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise UsageError(
            f"{path} is no client for programs that users install; docs/backends.md says how to "
            "make one"
        )
    return Grant(id_, secret, "")


async def by_browser(name: str, place: Place, client: Grant, scope: str, tell: Tell) -> Grant:
    """What the user granted in a browser; DeniedError where they said no, or nothing."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    answer: dict[str, str] = {}
    came = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        query = await _visited(stream, state)
        if query is not None and not came.is_set():
            answer.update(query)
            came.set()

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        listeners = await nursery.start(listen)
        back = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "client_id": client.client_id,
            "redirect_uri": back,
            "response_type": "code",
            "scope": scope,
            "code_challenge": digest.decode().rstrip("="),
            "code_challenge_method": "S256",
            "state": state,
            "access_type": "offline",
            "prompt": "consent",
        }
        where = f"{place.consent_url}?{urlencode(query)}"
        tell(f"open this address in a browser on this machine:\n{where}")
        with trio.move_on_after(PATIENCE):
            await came.wait()
        nursery.cancel_scope.cancel()
    if "code" not in answer:
        raise no_login(name, "nobody said yes in a browser")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "code_verifier": verifier,
        "redirect_uri": back,
    }
    return await _granted(name, place, client, form)


async def by_code(name: str, place: Place, client: Grant, tell: Tell) -> Grant:
    """What the user granted on another machine; only our own files can be asked for so."""
    http = HttpClient(name, kept=1)
    try:
        form = {"client_id": client.client_id, "scope": OWN_FILES}
        said = await post(http, place.device_url, form)
        code, page = said.text("user_code"), said.text("verification_url")
        if said.status != 200 or not code or not page.startswith("https://"):
            raise no_login(name, f"Google gives this client no code ({said.error})")
        tell(f"open {page} in a browser, on any machine, and type this code: {code}")
        wait, end = said.seconds("interval", 5.0), said.seconds("expires_in", 1800.0)
        form = {"grant_type": DEVICE, "device_code": said.text("device_code")}
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
        with trio.move_on_after(end):
            while True:
                await trio.sleep(wait)
                said = await post(http, place.token_url, form)
                if said.error == "slow_down":
                    wait += SLOWER
                elif said.error == "access_denied":
                    break
                elif said.error != "authorization_pending":
                    return _kept(name, client, said)
    finally:
        await http.aclose()
    raise no_login(name, "nobody typed the code and said yes")


async def settled(name: str, place: Place, grant: Grant, folder: str) -> tuple[Place, Grant]:
    """The place, with a new folder of that name where one is wanted, and whose login it is.

    DeniedError where the folder is not shown to this login.
    """
    api = DriveApi(name, place, None, replace(grant, access="", expires=0.0))
    try:
        if folder:
            place = replace(place, folder=await _make_folder(api, folder))
        else:
            await _check_folder(api)
        said = await api.got("GET", api.plain_url("/drive/v3/about", fields="user(permissionId)"))
    finally:
        await api.aclose()
    user = said.get("user")
    if not isinstance(user, dict) or not isinstance(user.get("permissionId"), str):
        raise stranger(name, "", "who is logged in is asked and not told")
    return place, replace(grant, account=user["permissionId"], access="", expires=0.0)


async def _make_folder(api: DriveApi, name: str) -> str:
    known = Known(None)
    try:
        id_ = await Homes(api, known).new_id()
    finally:
        await known.aclose()
    document: dict[str, object] = {"id": id_, "name": name, "mimeType": FOLDER}
    if api.place.drive:
        document["parents"] = [api.place.drive]
    await api.got("POST", api.url("/drive/v3/files", fields="id"), document=document)
    return id_


async def _check_folder(api: DriveApi) -> None:
    known = Known(None)
    try:
        await Homes(api, known).check_root()
    except UnavailableError:
        raise DeniedError(
            f"backend {api.name}: this login does not show its folder: it shows what ModelFloat "
            "itself made; make one with --new-folder NAME, or ask for all files with --all-files",
            backend=api.name,
        ) from None
    finally:
        await known.aclose()


async def _granted(name: str, place: Place, client: Grant, form: Mapping[str, str]) -> Grant:
    """What a code is good for."""
    http = HttpClient(name, kept=1)
    try:
        client_is = {"client_id": client.client_id, "client_secret": client.client_secret}
        said = await post(http, place.token_url, {**form, **client_is})
    finally:
        await http.aclose()
    return _kept(name, client, said)


def _kept(name: str, client: Grant, said: Said) -> Grant:
    grant = with_access(name, client, said, 0.0)
    if not grant.refresh:
        raise stranger(name, "", "a login comes that cannot be kept")
    return grant


async def _visited(stream: trio.SocketStream, state: str) -> dict[str, str] | None:
    """What a browser brings that was sent back by Google; None where it is something else."""
    data = bytearray()
    with suppress(trio.BrokenResourceError):
        async with stream:
            while b"\r\n\r\n" not in data and len(data) < _HEAD:
                more = await stream.receive_some(_HEAD)
                if not more:
                    return None
                data += more
            target = bytes(data).split(b" ", 2)[1].decode("latin-1") if b" " in data else ""
            query = dict(parse_qsl(urlsplit(target).query))
            ours = secrets.compare_digest(query.get("state", "").encode(), state.encode())
            said = "This tab can be closed." if ours else "This is not what was asked for."
            body = _PAGE.format(said).encode()
            head = f"HTTP/1.1 {200 if ours else 404} X\r\nContent-Type: text/html\r\n"
            head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode() + body)
            return query if ours else None
    return None
