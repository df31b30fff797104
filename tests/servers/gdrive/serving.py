"""The fake Drive's answers; see the package."""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelfloat.tests.servers.gdrive.documents import (
    USUAL,
    RefusedError,
    as_json,
    of_file,
    of_files,
    refusal,
)
from modelfloat.tests.servers.gdrive.oauth import DRIVE, FILES, Client, OAuth
from modelfloat.tests.servers.gdrive.query import Query, QueryError
from modelfloat.tests.servers.gdrive.state import FOLDER, Account, File, State, with_content
from modelfloat.tests.servers.gdrive.uploads import (
    SIMPLE,
    Session,
    multipart,
    new_session_id,
    receive,
)
from modelfloat.tests.servers.httpd import Answer, HangupError, Line, Request, serving

CLIENT = Client()
PAGE = 100
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_FILE = re.compile(r"/(?:upload/)?drive/v3/files/([A-Za-z0-9_-]+)")


_PARAMETERS = {
    "/drive/v3/about": {"fields", "alt", "prettyPrint"},
    "/drive/v3/files/generateIds": {"count", "space", "type", "fields", "alt", "prettyPrint"},
}
"""All that these know."""


@dataclass
class Fault:
    """What becomes of the next `times` requests that it is about."""

    about: Callable[[Request], bool]
    answer: Answer | None
    times: int


@dataclass
class Faults:
    """What goes wrong next.

    `cut_uploads` and `cut_downloads` have, for requests to come, after how many bytes of a body the
    connection is closed. So many `lost_answers` are to requests that were heeded, so many
    `garbled_uploads` are stored as zeros, so many `partial_listings` say that they lack something.
    With `lose_sessions` no upload can go on.
    """

    waiting: list[Fault] = field(default_factory=list)
    cut_uploads: list[int] = field(default_factory=list)
    cut_downloads: list[int] = field(default_factory=list)
    lose_sessions: bool = False
    lost_answers: int = 0
    garbled_uploads: int = 0
    partial_listings: int = 0

    def refuse(
        self,
        status: int,
        reason: str,
        times: int = 1,
        *,
        about: Callable[[Request], bool] = lambda _: True,
        message: str = "",
        **headers: str,
    ) -> None:
        """Refuse the next requests that it is about, as `refuse(429, "…", retry_after="1")`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.waiting.append(Fault(about, refusal(status, reason, message or reason, named), times))

    def answer(self, answer: Answer, times: int = 1) -> None:
        """Answer the next requests with something else."""
        self.waiting.append(Fault(lambda _: True, answer, times))

    def hang_up(self, times: int = 1, about: Callable[[Request], bool] = lambda _: True) -> None:
        """Close the connections of the next requests."""
        self.waiting.append(Fault(about, None, times))

    def take(self, request: Request) -> Answer | None:
        """What a request meets; None where it goes well."""
        for fault in self.waiting:
            if fault.about(request):
                fault.times -= 1
                if not fault.times:
                    self.waiting.remove(fault)
                if fault.answer is None:
                    raise HangupError
                return fault.answer
        return None


@dataclass
class FakeDrive:
    """A running fake: `url` is its server, `models` the id of a folder that is there."""

    state: State
    line: Line
    url: str = ""
    models: str = ""
    oauth: OAuth = field(default_factory=lambda: OAuth(CLIENT))
    faults: Faults = field(default_factory=Faults)
    asked: list[str] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)

    def backend_url(self, folder: str = "", drive: str = "") -> str:
        """The URL of a backend in a folder, `models` unless another one is named."""
        more = f"&drive={drive}" if drive else ""
        return f"gdrive://{folder or self.models}?endpoint={self.url}{more}"

    def new_folder(self, name: str = "more") -> str:
        """The id of another folder."""
        return self.state.new_folder(name, (self.state.root,))

    def credentials(self, backend: str = "gdrive") -> dict[str, str]:
        """Variables that log a backend in, or all of them."""
        begin = f"MODELFLOAT_{re.sub('[^A-Za-z0-9]', '_', backend).upper()}_"
        return {
            f"{begin}CLIENT_ID": CLIENT.id,
            f"{begin}CLIENT_SECRET": CLIENT.secret,
            f"{begin}REFRESH_TOKEN": self.oauth.grant(DRIVE),
        }

    def count(self, begin: str) -> int:
        """How many requests began so, as `GET /drive/v3/files?` for listings."""
        return sum(each.startswith(begin) for each in self.asked)

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        self.asked.append(f"{request.method} {request.target}")
        self.state.requests += 1
        fault = self.faults.take(request)
        if fault is not None:
            return fault
        try:
            answer = await self._answer(request)
        except RefusedError as refused:
            return refused.answer
        if self.faults.lost_answers:
            self.faults.lost_answers -= 1
            raise HangupError
        return answer

    async def _answer(self, request: Request) -> Answer:
        path, method = request.path, request.method
        if path == "/token" and method == "POST":
            return await self.oauth.token(request)
        if path == "/device/code" and method == "POST":
            return await self.oauth.device(request)
        if path == "/o/oauth2/v2/auth" and method == "GET":
            return self.oauth.consent(request)
        if "upload_id" in request.query:
            return await self._session(request)
        scope = self._scope(request)
        if path.startswith("/upload/"):
            return await self._upload(request, scope)
        if path in _PARAMETERS and request.query.keys() - _PARAMETERS[path]:
            raise RefusedError(400, "invalidParameter", f"Unknown parameter in {request.target}")
        if path == "/drive/v3/about":
            return self._about(request)
        if path == "/drive/v3/files/generateIds":
            count = int(request.query.get("count", "10"))
            return as_json({"space": "drive", "ids": [self.state.new_id() for _ in range(count)]})
        if path == "/drive/v3/files":
            return (
                self._list(request, scope) if method == "GET" else await self._make(request, scope)
            )
        if path.startswith("/drive/v3/drives"):
            return self._drives(path)
        match = _FILE.fullmatch(path)
        if match is None:
            raise RefusedError(404, "notFound", f"Not found: {path}")
        file = self._found(match[1], request, scope)
        if method == "GET":
            media = request.query.get("alt") == "media"
            return self._media(request, file) if media else self._tell(request, file)
        if method == "DELETE":
            return self._delete(file)
        return self._change(request, file, json.loads(await request.body()))

    def _scope(self, request: Request) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        scope = self.oauth.access.get(token)
        if kind != "Bearer" or scope is None:
            raise RefusedError(401, "authError", "Invalid Credentials")
        return scope

    def _seen(self, file: File, scope: str) -> bool:
        """Whether a program with that scope may see a file."""
        return scope == DRIVE or file.app == scope

    def _found(self, id_: str, request: Request, scope: str) -> File:
        file = self.state.files.get(self.state.root if id_ == "root" else id_)
        hidden = file is not None and file.drive and not _all_drives(request)
        if file is None or hidden or not self._seen(file, scope):
            raise RefusedError(404, "notFound", f"File not found: {id_}.")
        return file

    def _tell(self, request: Request, file: File, fields: str = "") -> Answer:
        wanted = fields or request.query.get("fields", USUAL)
        return as_json(of_file(file, self.state.is_trashed(file), wanted))

    def _about(self, request: Request) -> Answer:
        if "fields" not in request.query:
            raise RefusedError(400, "required", "The 'fields' parameter is required")
        account = self.state.account
        quota = {"usage": str(self.state.used()), "usageInDrive": str(self.state.used())}
        quota |= {} if account.limit is None else {"limit": str(account.limit)}
        user = {"permissionId": account.number, "emailAddress": account.email, "me": True}
        return as_json({"storageQuota": quota, "user": user})

    def _drives(self, path: str) -> Answer:
        drives = [{"kind": "drive#drive", "id": k, "name": n} for k, n in self.state.drives.items()]
        if path == "/drive/v3/drives":
            return as_json({"drives": drives})
        for each in drives:
            if path == f"/drive/v3/drives/{each['id']}":
                return as_json(each)
        raise RefusedError(404, "notFound", "Shared drive not found")

    def _list(self, request: Request, scope: str) -> Answer:
        query, state = request.query, self.state
        try:
            test = Query(query.get("q", "trashed = false"), state.is_trashed, state.root).matches
        except QueryError as error:
            raise RefusedError(400, "invalid", f"Invalid Value: {error}") from None
        for parent in re.findall(r"'([^']*)' in parents", query.get("q", "")):
            self._found(parent, request, scope)
        drive = query.get("driveId", "")
        if drive and (query.get("corpora") != "drive" or not _all_drives(request)):
            raise RefusedError(403, "teamDrivesParentLimit", "driveId without corpora=drive")
        shared = query.get("includeItemsFromAllDrives", "false") == "true"
        files = [f for f in state.listed() if test(f) and self._seen(f, scope)]
        files = [f for f in files if (f.drive == drive if drive else shared or not f.drive)]
        files.sort(
            key=lambda f: (f.name, f.id) if "name" in query.get("orderBy", "") else (f.id, "")
        )
        size, after = int(query.get("pageSize", PAGE)), int(query.get("pageToken", "0"))
        if not 1 <= size <= 1000:
            raise RefusedError(400, "invalidParameter", "Invalid value for pageSize")
        own, each = of_files(query.get("fields", "nextPageToken,files"))
        page = files[after : after + size]
        document: dict[str, Any] = {
            "kind": "drive#fileList",
            "incompleteSearch": self._partial(),
            "files": [of_file(f, state.is_trashed(f), each) for f in page],
        }
        if after + size < len(files) and ("nextPageToken" in own or "*" in own):
            document["nextPageToken"] = str(after + size)
        return as_json(document)

    def _partial(self) -> bool:
        """Whether a listing says that it lacks something."""
        if not self.faults.partial_listings:
            return False
        self.faults.partial_listings -= 1
        return True

    def _media(self, request: Request, file: File) -> Answer:
        if file.id in self.state.abusive and "acknowledgeAbuse" not in request.query:
            raise RefusedError(403, "cannotDownloadAbusiveFile", "This file has been identified")
        if not file.content:
            raise RefusedError(403, "fileNotDownloadable", "Only files with binary content")
        cut = self.faults.cut_downloads.pop(0) if self.faults.cut_downloads else None
        start, end, status = 0, file.size - 1, 200
        headers = {"Content-Type": file.mime}
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if match is not None:
            start, end = int(match[1]), min(int(match[2] or file.size), file.size - 1)
            if start > end:
                whole = {"Content-Range": f"bytes */{file.size}"}
                raise RefusedError(416, "requestedRangeNotSatisfiable", "", whole)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end}/{file.size}"
        size = end - start + 1
        return Answer(
            status,
            lambda at, count: _content(file.content, start + at, count),
            headers,
            size,
            cut,
        )

    def _delete(self, file: File) -> Answer:
        if file.drive and not self.state.may_delete:
            raise RefusedError(
                403, "insufficientFilePermissions", "The user does not have sufficient permissions"
            )
        self.state.remove(file.id)
        return Answer(204)

    def _change(self, request: Request, file: File, said: dict[str, Any]) -> Answer:
        parents = tuple(p for p in file.parents if p not in request.query.get("removeParents", ""))
        added = tuple(filter(None, request.query.get("addParents", "").split(",")))
        changed = self._with(replace(file, parents=(*parents, *added)), said)
        self.state.put(changed)
        return self._tell(request, changed)

    def _with(self, file: File, said: dict[str, Any]) -> File:
        """A file with what metadata say."""
        return replace(
            file,
            name=said.get("name", file.name),
            mime=said.get("mimeType", file.mime),
            trashed=said.get("trashed", file.trashed),
            modified=said.get("modifiedTime", file.modified),
            created=said.get("createdTime", file.created),
            properties=tuple((said.get("properties") or dict(file.properties)).items()),
            app_properties=tuple((said.get("appProperties") or dict(file.app_properties)).items()),
        )

    def _new(self, said: dict[str, Any], request: Request, scope: str) -> File:
        id_ = said.get("id") or self.state.new_id()
        if id_ not in self.state.given:
            raise RefusedError(400, "invalid", "The provided file ID is not usable.")
        if id_ in self.state.files:
            raise RefusedError(409, "fileIdInUse", "A file already exists with the provided ID.")
        parents = tuple(said.get("parents") or [self.state.root])
        if len(parents) != 1:
            raise RefusedError(403, "teamDrivesParentLimit", "A file has one parent")
        above = self._found(parents[0], request, DRIVE)
        if above.mime != FOLDER:
            raise RefusedError(403, "parentNotAFolder", "The specified parent is not a folder.")
        now = self.state.now()
        name = said.get("name", "Untitled")
        file = File(id_, name, "application/octet-stream", (above.id,), now, now, drive=above.drive)
        return self._with(replace(file, app=scope), said)

    async def _make(self, request: Request, scope: str) -> Answer:
        file = self._new(json.loads(await request.body()), request, scope)
        self.state.put(file)
        return self._tell(request, file)

    async def _upload(self, request: Request, scope: str) -> Answer:
        match, query = _FILE.fullmatch(request.path), request.query
        target = match[1] if match else ""
        if request.method != ("PATCH" if target else "POST"):
            raise RefusedError(404, "notFound", f"{request.method} of {request.path}")
        old = self._found(target, request, scope) if target else None
        self._allow(0)
        kind = query.get("uploadType")
        if kind == "resumable":
            return self._begin(request, json.loads(await request.body() or b"{}"), old, scope)
        if kind != "multipart":
            raise RefusedError(400, "badRequest", "Unknown uploadType")
        metadata, content = await multipart(request)
        if len(content) > SIMPLE:
            raise RefusedError(413, "uploadTooLarge", "Uploads of this kind are of up to 5 MB")
        path = self.state.new_content()
        path.write_bytes(content)
        return self._complete(request, metadata, old, path, scope, query.get("fields", USUAL))

    def _begin(
        self, request: Request, metadata: dict[str, Any], old: File | None, scope: str
    ) -> Answer:
        if old is None:
            self._new(metadata, request, scope)  # what would be refused is refused now
        size = request.headers.get("x-upload-content-length")
        self._allow(int(size or 0))
        path = self.state.new_content()
        path.write_bytes(b"")
        name = new_session_id()
        fields = request.query.get("fields", USUAL)
        metadata["_scope"] = scope
        target = old.id if old else ""
        self.sessions[name] = Session(metadata, target, fields, int(size) if size else None, path)
        begin = request.path
        where = f"{self._host(request)}{begin}?uploadType=resumable&upload_id={name}"
        return Answer(200, b"", {"Location": where + "&supportsAllDrives=true"})

    def _host(self, request: Request) -> str:
        """What clients call this server; through a proxy that is Google's own name."""
        host = request.headers.get("host", "")
        return f"https://{host}" if "googleapis" in host else f"http://{host}"

    async def _session(self, request: Request) -> Answer:
        name = request.query["upload_id"]
        if self.faults.lose_sessions:
            self.sessions.clear()
        session = self.sessions.get(name)
        if session is None or request.method not in ("PUT", "POST", "DELETE"):
            raise RefusedError(404, "notFound", "Upload session not found")
        if request.method == "DELETE":
            del self.sessions[name]
            return Answer(499)
        if session.done is not None:
            return as_json(session.done)
        asks = "*/" in request.headers.get("content-range", "")
        cut = self.faults.cut_uploads.pop(0) if self.faults.cut_uploads and not asks else None
        missing = await receive(session, request, cut)
        if missing is not None:
            return missing
        old = self.state.files.get(session.target)
        if session.target and old is None:
            raise RefusedError(404, "notFound", f"File not found: {session.target}.")
        scope = session.metadata.pop("_scope")
        path, fields = session.path, session.fields
        answer = self._complete(request, session.metadata, old, path, scope, fields)
        assert isinstance(answer.body, bytes)
        session.done = json.loads(answer.body)
        return answer

    def _complete(
        self,
        request: Request,
        metadata: dict[str, Any],
        old: File | None,
        path: Path,
        scope: str,
        fields: str,
    ) -> Answer:
        """All of a content is there: its file is made, or changes."""
        if self.faults.garbled_uploads:
            self.faults.garbled_uploads -= 1
            path.write_bytes(bytes(path.stat().st_size))
        file = with_content(old or self._new(metadata, request, scope), path)
        self._allow(file.size)
        self.state.account.uploaded += file.size
        if old is not None:
            file = self._with(replace(file, modified=self.state.now()), metadata)
        self.state.put(file)
        return self._tell(request, file, fields)

    def _allow(self, size: int) -> None:
        """Refuse what the account may not store, or not any more today."""
        account = self.state.account
        if account.limit is not None and self.state.used() + size > account.limit:
            raise RefusedError(
                403, "storageQuotaExceeded", "The user's Drive storage quota is full"
            )
        if account.daily is not None and account.uploaded + size > account.daily:
            raise RefusedError(403, "userRateLimitExceeded", "User rate limit exceeded.")


@contextlib.asynccontextmanager
async def serve_gdrive(
    folder: Path, line: Line | None = None, account: Account | None = None, port: int = 0
) -> AsyncIterator[FakeDrive]:
    """A fake Drive whose contents lie in `folder`, as long as the context lasts."""
    state = State(folder, account or Account())
    drive = FakeDrive(state, line or Line())
    drive.models = drive.new_folder("models")
    async with serving(drive.handle, drive.line, port) as url:
        drive.url = url
        yield drive


def _all_drives(request: Request) -> bool:
    return request.query.get("supportsAllDrives", "false") == "true"


def _content(path: str, start: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(size)


__all__ = ["CLIENT", "DRIVE", "FILES", "FakeDrive", "Faults", "serve_gdrive"]
