"""Files and folders on Drive: keys found, listed, removed; folders made; ids of files to be.

A key's first part is a folder below the backend's own (`packs`, `journal`, …), so that a listing of
few keys does not go through all; the rest of it is the file's name, slashes and all, which Drive
allows. A key without a slash is a file in the backend's folder itself.

Drive lets two files or folders have one name, and shows in a listing late what was made elsewhere.
So several may come of one key: of several files the one counts that was written last (then the
greatest id), as each holds a whole value; and of several folders all are looked into. What is asked
by its id Drive tells at once and exactly, so nothing that a listing says of a file is relied on.

Concurrency: folders are made one at a time; `_placed` and `_ids` change between awaits, and the
worst of a stale one is a request more.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

import trio

from ...errors import BackendError, KeyNotFoundError, UnavailableError
from ..keys import is_key, is_replaced
from .answers import Refusal, failure, stranger
from .api import DriveApi
from .known import File, Known

FOLDER: Final = "application/vnd.google-apps.folder"
PAGE: Final = 1000
"""Files that a listing asks for at once; the most that Drive gives."""
IDS: Final = 50
"""Ids that are asked for at once."""
FRESH: Final = 30.0
"""Seconds for which a folder that was there is taken to be there still, where a key is missed."""
_FILE: Final = "id,name,size,modifiedTime,trashed,mimeType"


class Files:
    """The files of the backend's folder."""

    def __init__(self, api: DriveApi, known: Known) -> None:
        self._api = api
        self._known = known
        self._ids: list[str] = []
        self._placed = float("-inf")
        self._making = trio.Lock()
        self.doubles: dict[str, list[str]] = {}

    def url(self, id_: str, **query: str) -> str:
        """The URL of a file."""
        return self._api.url(f"/drive/v3/files/{quote(id_, safe='')}", **query)

    async def candidate(self, key: str) -> File | None:
        """The file of a key as it was last seen, which may be gone; None where none is known.

        Of keys whose values are replaced others may have made a file since, so Drive is asked.
        """
        if not is_replaced(key):
            known = await self._known.file(key)
            if known is not None:
                return known
        found = await self.all_of(key)
        return found[0] if found else None

    async def all_of(self, key: str) -> list[File]:
        """All files of a key that a listing shows or that are known here, the one that counts
        first. What was removed here is left out, and what is gone otherwise is not."""
        top, _, name = key.rpartition("/") if "/" not in key else _split(key)
        # Others may have made a folder, and a value in it that came later.
        found = await self._named(top, name, anew=is_replaced(key))
        if not found and top and not is_replaced(key):
            found = await self._named(top, name, anew=True)
        gone = await self._known.removed(file.id for file in found)
        files = {file.id: file for file in found if file.id not in gone}
        known = await self._known.file(key)
        if known is not None and files.get(known.id, known).modified <= known.modified:
            files[known.id] = known
        ordered = sorted(files.values(), key=order, reverse=True)
        if ordered:
            await self._known.found([(key, ordered[0])])
        if len(ordered) > 1:
            self.doubles[key] = [file.id for file in ordered[1:]]
        return ordered

    async def look(self, key: str) -> tuple[File, float | None]:
        """The file of a key as it is now, and the time by Drive's clock, None where it tells none.

        KeyNotFoundError where there is none, UnavailableError where the folder is gone.
        """
        tried: set[str] = set()
        while True:
            file = await self.next_of(key, tried)
            if file is None:
                raise await self.missing(key)
            said = await self.about(key, file.id)
            if said is not None:
                return said
            await self.lost(key, file.id)
            tried.add(file.id)

    async def next_of(self, key: str, tried: set[str]) -> File | None:
        """The file of a key that counts, those left out that were found to be gone."""
        if not tried:
            return await self.candidate(key)
        return next((file for file in await self.all_of(key) if file.id not in tried), None)

    async def about(self, key: str, id_: str) -> tuple[File, float | None] | None:
        """A file as it is now; None where it is gone, or in the trash."""
        said, now = await self._api.dated("GET", self.url(id_, fields=_FILE), key=key)
        if isinstance(said, Refusal):
            if said.gone:
                return None
            raise failure(self._api.name, key, said)
        if said.get("trashed") is True:
            return None
        return self.file_of(key, said), now

    def file_of(self, key: str, said: Mapping[str, Any]) -> File:
        """A file from its document."""
        id_, size, modified = said.get("id"), said.get("size"), said.get("modifiedTime")
        whole = isinstance(size, str) and size.isdecimal() and len(size) < 19
        if not isinstance(id_, str) or not whole or not isinstance(modified, str):
            raise stranger(self._api.name, key, "a file comes without its size or time")
        return File(id_, int(str(size)), modified)

    async def lost(self, key: str, id_: str) -> None:
        """A file of a key is not there any more, whoever removed it."""
        await self._known.forget(key, id_)

    async def missing(self, key: str) -> KeyNotFoundError:
        """The error for a key without a file; UnavailableError where the folder itself is gone."""
        await self.check_root()
        name = self._api.name
        return KeyNotFoundError(f"backend {name}: {key} is not there", backend=name, key=key)

    async def check_root(self) -> None:
        """UnavailableError unless the backend's folder is there, and not in the trash."""
        if trio.current_time() - self._placed < FRESH:
            return
        place = self._api.place
        said = await self._api.call("GET", self.url(place.folder, fields="id,mimeType,trashed"))
        if isinstance(said, Refusal) and not said.gone:
            raise failure(self._api.name, "", said)
        there = not isinstance(said, Refusal) and said.get("mimeType") == FOLDER
        if isinstance(said, Refusal) or not there or said.get("trashed") is not False:
            raise UnavailableError(
                f"backend {self._api.name}: its folder is not there, is in the trash, or is not "
                "shown to this login; look for it on Google Drive, or log in with `modelfloat "
                "backend login`",
                backend=self._api.name,
            )
        self._placed = trio.current_time()

    async def remove(self, key: str, id_: str) -> None:
        """Remove a file for good; into the trash where a shared drive allows no more."""
        said = await self._api.call("DELETE", self.url(id_), key=key)
        if isinstance(said, Refusal) and said.status == 403 and self._api.place.drive:
            trash = {"trashed": True}
            said = await self._api.call("PATCH", self.url(id_), key=key, document=trash)
        if isinstance(said, Refusal) and not said.gone:
            raise failure(self._api.name, key, said)

    async def new_id(self) -> str:
        """An id for a file to be: a create that is repeated with it makes one file."""
        while not self._ids:
            url = self._api.plain_url("/drive/v3/files/generateIds", count=IDS, space="drive")
            ids = (await self._api.got("GET", url)).get("ids")
            if not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids):
                raise stranger(self._api.name, "", "ids are asked for and none come")
            self._ids += ids
        return self._ids.pop()

    async def home_of(self, key: str) -> tuple[str, str]:
        """The folder in which a new file of a key goes, made where there is none, and its name."""
        if "/" not in key:
            return self._api.place.folder, key
        top, _, name = _split(key)
        folders = await self._folders(top)
        if folders:
            return folders[0], name
        async with self._making:
            folders = await self._folders(top) or await self._folders(top, anew=True)
            return (folders[0] if folders else await self._make(top)), name

    async def forget_homes(self) -> None:
        """Folders may be gone."""
        self._placed = float("-inf")
        await self._known.no_folders()

    async def pages(self, prefix: str) -> AsyncGenerator[list[tuple[str, File]], None]:
        """Keys that begin with `prefix` as a listing shows them, page by page; of several files of
        one key the one that counts. What was removed here is left out."""
        if "/" not in prefix:
            async with aclosing(self._below([self._api.place.folder], "")) as pages:
                async for page in pages:
                    yield [each for each in page if each[0].startswith(prefix)]
        tops = [_split(prefix)[0]] if "/" in prefix else await self._tops(prefix)
        for top in tops:
            folders = await self._folders(top, anew=True)
            if folders:
                async with aclosing(self._below(folders, f"{top}/")) as pages:
                    async for page in pages:
                        yield [each for each in page if each[0].startswith(prefix)]

    async def _named(self, top: str, name: str, *, anew: bool = False) -> list[File]:
        folders = await self._folders(top, anew=anew) if top else [self._api.place.folder]
        if not folders:
            return []
        found: list[File] = []
        async with aclosing(self._listing(folders, f"name = '{name}'")) as pages:
            async for page in pages:
                found += [self.file_of(name, each) for each in page if each.get("name") == name]
        return found

    async def _below(
        self, folders: Sequence[str], begin: str
    ) -> AsyncGenerator[list[tuple[str, File]], None]:
        """The keys in folders; those of one name come side by side."""
        last: tuple[str, File] | None = None
        async with aclosing(self._listing(folders, f"mimeType != '{FOLDER}'")) as pages:
            async for page in pages:
                files = [(f"{begin}{each.get('name')}", each) for each in page]
                keyed = [(key, self.file_of(key, each)) for key, each in files if is_key(key)]
                gone = await self._known.removed(file.id for _, file in keyed)
                keyed = [each for each in keyed if each[1].id not in gone]
                best = _best([last, *keyed] if last is not None else keyed)
                last = best.pop() if best else None  # the next page may have more of it
                yield best
        if last is not None:
            yield [last]

    async def _listing(
        self, folders: Sequence[str], which: str
    ) -> AsyncGenerator[list[Mapping[str, Any]], None]:
        place = self._api.place
        inside = " or ".join(f"'{folder}' in parents" for folder in folders)
        query: dict[str, str | int] = {
            "q": f"({inside}) and {which} and trashed = false",
            "fields": f"nextPageToken,incompleteSearch,files({_FILE})",
            "pageSize": PAGE,
            "orderBy": "name",
            "spaces": "drive",
        }
        if place.drive:
            query |= {"corpora": "drive", "driveId": place.drive}
            query |= {"includeItemsFromAllDrives": "true"}
        while True:
            said = await self._api.call("GET", self._api.url("/drive/v3/files", **query))
            if isinstance(said, Refusal):
                raise await self._unlisted(said)
            files = said.get("files")
            if not isinstance(files, list) or not all(isinstance(each, dict) for each in files):
                raise stranger(self._api.name, "", "a listing comes without files")
            if said.get("incompleteSearch") is True:
                raise UnavailableError(
                    f"backend {self._api.name}: Google Drive lists a part of its folder only; try "
                    "again later",
                    backend=self._api.name,
                )
            yield files
            if not said.get("nextPageToken"):
                return
            query["pageToken"] = str(said["nextPageToken"])

    async def _unlisted(self, refusal: Refusal) -> BackendError:
        """The error for a listing that is refused, as one of a folder that is gone."""
        name = self._api.name
        if not refusal.gone:
            return failure(name, "", refusal)
        self._placed = float("-inf")
        await self.check_root()
        await self._known.no_folders()
        return UnavailableError(
            f"backend {name}: a folder in its folder is gone; it is looked for anew", backend=name
        )

    async def _tops(self, prefix: str) -> list[str]:
        """Names of folders in the backend's own that begin with a prefix."""
        found: set[str] = set()
        root = [self._api.place.folder]
        async with aclosing(self._listing(root, f"mimeType = '{FOLDER}'")) as pages:
            async for page in pages:
                found |= {str(each.get("name")) for each in page}
        recent = {_split(key)[0] for key in await self._known.recent(prefix) if "/" in key}
        return sorted(top for top in found | recent if top.startswith(prefix) and is_key(top))

    async def _folders(self, top: str, *, anew: bool = False) -> list[str]:
        """The folders of that name, the eldest first; with `anew` Drive is asked as well."""
        known = await self._known.folders(top)
        if known and not anew:
            return known
        found: list[Mapping[str, Any]] = []
        which = f"name = '{top}' and mimeType = '{FOLDER}'"
        async with aclosing(self._listing([self._api.place.folder], which)) as pages:
            async for page in pages:
                found += page
        ids = sorted(str(each.get("id")) for each in found if each.get("name") == top)
        ids = [*known, *(id_ for id_ in ids if id_ not in known)]
        await self._known.folders_are(top, ids)
        return ids

    async def _make(self, top: str) -> str:
        await self.check_root()
        id_ = await self.new_id()
        document = {
            "id": id_,
            "name": top,
            "mimeType": FOLDER,
            "parents": [self._api.place.folder],
        }
        url = self._api.url("/drive/v3/files", fields="id")
        said = await self._api.call("POST", url, document=document)
        if isinstance(said, Refusal) and said.status != 409:  # an earlier try has made it
            raise failure(self._api.name, "", said)
        await self._known.folders_are(top, [*await self._known.folders(top), id_])
        return id_


def _split(key: str) -> tuple[str, str, str]:
    return key.partition("/")


def order(file: File) -> tuple[str, str]:
    """What counts more comes later."""
    return file.modified, file.id


def _best(keyed: Iterable[tuple[str, File]]) -> list[tuple[str, File]]:
    """Of files of one name, side by side, the one that counts."""
    groups = groupby(keyed, key=lambda each: each[0])
    return [(key, max((file for _, file in group), key=order)) for key, group in groups]
