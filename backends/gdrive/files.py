"""Files on Drive: those of a key, found, listed and removed.

The first part of a key is a folder (`homes`); the rest of it is the file's name, slashes and all,
which Drive allows. A key without a slash is a file in the backend's folder itself.

Drive lets two files have one name, and shows in a listing late what was made elsewhere. So several
may come of one key: the one counts that was written last (then the greatest id), as each holds a
whole value. What is asked by its id Drive tells at once and exactly, so nothing that a listing says
of a file is relied on.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any
from urllib.parse import quote

from ...errors import KeyNotFoundError
from ..keys import is_key, is_replaced
from .answers import Refusal, failure, stranger
from .api import DriveApi
from .homes import FIELDS, FOLDER, Homes, split
from .known import File, Known


class Files:
    """The files of the backend's folder."""

    def __init__(self, api: DriveApi, known: Known) -> None:
        self._api = api
        self._known = known
        self.homes = Homes(api, known)
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
        top, _, name = key.rpartition("/") if "/" not in key else split(key)
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
        said, now = await self._api.dated("GET", self.url(id_, fields=FIELDS), key=key)
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
        await self.homes.check_root()
        name = self._api.name
        return KeyNotFoundError(f"backend {name}: {key} is not there", backend=name, key=key)

    async def remove(self, key: str, id_: str) -> None:
        """Remove a file for good; into the trash where a shared drive allows no more."""
        said = await self._api.call("DELETE", self.url(id_), key=key)
        if isinstance(said, Refusal) and said.status == 403 and self._api.place.drive:
            trash = {"trashed": True}
            said = await self._api.call("PATCH", self.url(id_), key=key, document=trash)
        if isinstance(said, Refusal) and not said.gone:
            raise failure(self._api.name, key, said)

    async def pages(self, prefix: str) -> AsyncGenerator[list[tuple[str, File]], None]:
        """Keys that begin with `prefix` as a listing shows them, page by page; of several files of
        one key the one that counts. What was removed here is left out."""
        if "/" not in prefix:
            async with aclosing(self._below([self._api.place.folder], "")) as pages:
                async for page in pages:
                    yield [each for each in page if each[0].startswith(prefix)]
        tops = [split(prefix)[0]] if "/" in prefix else await self.homes.tops(prefix)
        for top in tops:
            folders = await self.homes.folders(top, anew=True)
            if folders:
                async with aclosing(self._below(folders, f"{top}/")) as pages:
                    async for page in pages:
                        yield [each for each in page if each[0].startswith(prefix)]

    async def _named(self, top: str, name: str, *, anew: bool = False) -> list[File]:
        folders = await self.homes.folders(top, anew=anew) if top else [self._api.place.folder]
        if not folders:
            return []
        found: list[File] = []
        async with aclosing(self.homes.listing(folders, f"name = '{name}'")) as pages:
            async for page in pages:
                found += [self.file_of(name, each) for each in page if each.get("name") == name]
        return found

    async def _below(
        self, folders: Sequence[str], begin: str
    ) -> AsyncGenerator[list[tuple[str, File]], None]:
        """The keys in folders; those of one name come side by side."""
        last: tuple[str, File] | None = None
        async with aclosing(self.homes.listing(folders, f"mimeType != '{FOLDER}'")) as pages:
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


def order(file: File) -> tuple[str, str]:
    """What counts more comes later."""
    return file.modified, file.id


def _best(keyed: Iterable[tuple[str, File]]) -> list[tuple[str, File]]:
    """Of files of one name, side by side, the one that counts."""
    groups = groupby(keyed, key=lambda each: each[0])
    return [(key, max((file for _, file in group), key=order)) for key, group in groups]
