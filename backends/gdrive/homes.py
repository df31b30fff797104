"""Folders on Drive: the backend's own, those in it where files go, and what listings show of them.

A key's first part is a folder below the backend's own (`packs`, `journal`, …), so that a listing of
few keys does not go through all. Drive lets two folders have one name: all are looked into.

Concurrency: folders are made one at a time; `_placed` and `_ids` change between awaits, and the
worst of a stale one is a request more.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import trio

from ...errors import BackendError, UnavailableError
from ..keys import is_key
from .answers import Refusal, failure, stranger
from .api import DriveApi
from .known import Known

FOLDER: Final = "application/vnd.google-apps.folder"
PAGE: Final = 1000
"""Files that a listing asks for at once; the most that Drive gives."""
IDS: Final = 50
"""Ids that are asked for at once."""
FRESH: Final = 30.0
"""Seconds for which a folder that was there is taken to be there still, where a key is missed."""
FIELDS: Final = "id,name,size,modifiedTime,trashed,mimeType"
"""What is asked of a file."""


class Homes:
    """The backend's folder, and those in it."""

    def __init__(self, api: DriveApi, known: Known) -> None:
        self._api = api
        self._known = known
        self._ids: list[str] = []
        self._placed = float("-inf")
        self._making = trio.Lock()

    async def check_root(self) -> None:
        """UnavailableError unless the backend's folder is there, and not in the trash."""
        if trio.current_time() - self._placed < FRESH:
            return
        url = self._api.url(
            f"/drive/v3/files/{self._api.place.folder}", fields="id,mimeType,trashed"
        )
        said = await self._api.call("GET", url)
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
        top, _, name = split(key)
        folders = await self.folders(top)
        if folders:
            return folders[0], name
        async with self._making:
            folders = await self.folders(top) or await self.folders(top, anew=True)
            return (folders[0] if folders else await self._make(top)), name

    async def forget(self) -> None:
        """Folders may be gone."""
        self._placed = float("-inf")
        await self._known.no_folders()

    async def folders(self, top: str, *, anew: bool = False) -> list[str]:
        """The folders of that name, the eldest first; with `anew` Drive is asked as well."""
        known = await self._known.folders(top)
        if known and not anew:
            return known
        found: list[Mapping[str, Any]] = []
        which = f"name = '{top}' and mimeType = '{FOLDER}'"
        async with aclosing(self.listing([self._api.place.folder], which)) as pages:
            async for page in pages:
                found += page
        ids = sorted(str(each.get("id")) for each in found if each.get("name") == top)
        ids = [*known, *(id_ for id_ in ids if id_ not in known)]
        await self._known.folders_are(top, ids)
        return ids

    async def tops(self, prefix: str) -> list[str]:
        """Names of folders in the backend's own that begin with a prefix."""
        found: set[str] = set()
        root = [self._api.place.folder]
        async with aclosing(self.listing(root, f"mimeType = '{FOLDER}'")) as pages:
            async for page in pages:
                found |= {str(each.get("name")) for each in page}
        recent = {split(key)[0] for key in await self._known.recent(prefix) if "/" in key}
        return sorted(top for top in found | recent if top.startswith(prefix) and is_key(top))

    async def listing(
        self, folders: Sequence[str], which: str
    ) -> AsyncGenerator[list[Mapping[str, Any]], None]:
        place = self._api.place
        inside = " or ".join(f"'{folder}' in parents" for folder in folders)
        query: dict[str, str | int] = {
            "q": f"({inside}) and {which} and trashed = false",
            "fields": f"nextPageToken,incompleteSearch,files({FIELDS})",
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


def split(key: str) -> tuple[str, str, str]:
    """The folder of a key with a slash, and its file's name there."""
    return key.partition("/")
