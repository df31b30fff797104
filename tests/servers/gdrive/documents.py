"""Documents as Drive writes them, with the fields that were asked for; and its refusals."""

import json
from collections.abc import Mapping
from typing import Any

from modelfloat.tests.servers.gdrive.state import File
from modelfloat.tests.servers.httpd import Answer

KNOWN = frozenset(
    {
        *("kind", "id", "name", "mimeType", "parents", "createdTime", "modifiedTime", "size"),
        *("md5Checksum", "sha256Checksum", "sha1Checksum", "properties", "appProperties"),
        *("trashed", "explicitlyTrashed", "driveId", "teamDriveId", "description", "starred"),
        *("viewedByMeTime", "webViewLink", "webContentLink", "exportLinks", "shortcutDetails"),
        *("resourceKey", "originalFilename", "owners", "permissions", "permissionIds", "labels"),
        *("headRevisionId", "quotaBytesUsed", "version", "ownedByMe", "shared", "capabilities"),
        *(
            "fileExtension",
            "fullFileExtension",
            "contentRestrictions",
            "copyRequiresWriterPermission",
        ),
        *("writersCanShare", "folderColorRgb", "linkShareMetadata", "thumbnailLink", "spaces"),
    }
)
"""Fields that files have; asking for another is a mistake of the client's."""
USUAL = "kind,id,name,mimeType"
"""What a file's document has where nobody asks for more."""


class RefusedError(Exception):
    """The answer is a refusal."""

    def __init__(
        self, status: int, reason: str, message: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message or reason)
        self.answer = refusal(status, reason, message or reason, headers)


def refusal(
    status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """A status with Google's document of an error."""
    error = {"domain": "global", "reason": reason, "message": message}
    document = {"error": {"errors": [error], "code": status, "message": message}}
    return as_json(document, status, headers)


def as_json(
    document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """A document as an answer."""
    kind = {"Content-Type": "application/json; charset=UTF-8"}
    return Answer(status, json.dumps(document).encode(), {**kind, **(headers or {})})


def of_file(file: File, trashed: bool, fields: str) -> dict[str, Any]:
    """What is told of a file that fields ask for."""
    document: dict[str, Any] = {
        "kind": "drive#file",
        "id": file.id,
        "name": file.name,
        "mimeType": file.mime,
        "parents": list(file.parents),
        "createdTime": file.created,
        "modifiedTime": file.modified,
        "trashed": trashed,
        "explicitlyTrashed": file.trashed,
        "properties": dict(file.properties),
        "appProperties": dict(file.app_properties),
        "ownedByMe": not file.drive,
        "version": "1",
    }
    if file.content:
        document |= {"size": str(file.size), "md5Checksum": file.md5, "originalFilename": file.name}
        document |= {"sha256Checksum": file.sha256, "quotaBytesUsed": str(file.size)}
    if file.drive:
        document |= {"driveId": file.drive, "teamDriveId": file.drive}
    wanted = names(fields)
    return {name: value for name, value in document.items() if "*" in wanted or name in wanted}


def names(fields: str) -> set[str]:
    """The fields that are asked for, those of their own left out; a bad one is refused."""
    found, depth, name = set[str](), 0, ""
    for letter in f"{fields},":
        if letter in "(/" and depth == 0:
            found.add(name)
            name = ""
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "," and depth == 0:
            found |= {name} if name else set()
            name = ""
        elif depth == 0 and letter != "/":
            name += letter
    found = {each.strip() for each in found}
    if found - KNOWN - {"*"}:
        raise RefusedError(400, "invalidParameter", f"Invalid field selection {fields}")
    return found


def of_files(fields: str) -> tuple[set[str], str]:
    """The fields of a listing's own, and those of its files."""
    begin = fields.find("files(")
    if begin < 0:
        return {each.strip() for each in fields.split(",")}, USUAL
    end, depth = begin + 6, 1
    while depth:
        if end == len(fields):
            raise RefusedError(400, "invalidParameter", f"Invalid field selection {fields}")
        depth += {"(": 1, ")": -1}.get(fields[end], 0)
        end += 1
    outside = fields[:begin] + fields[end:]
    return {each.strip() for each in outside.split(",") if each.strip()}, fields[
        begin + 6 : end - 1
    ]
