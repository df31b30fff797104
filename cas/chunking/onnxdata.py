"""Files of tensors that belong to an ONNX model: only the model beside them tells what they hold.

Format: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md. A model names such a file by a
path below its own folder. Only plain names are followed here, and only by holding them against the
name of the file at hand: nothing is ever opened because a model says so.
"""

import logging
from collections.abc import Sequence
from typing import Final

from .gaps import filled
from .onnx import Walk
from .parser import Siblings, Source
from .regions import Region
from .room import Room

EXTERNAL_LIMIT: Final = 1 << 15
"""Most tensors in other files that the models of one folder tell of."""
ROOM: Final = 16 << 20
"""Bytes of memory that they take, at most, with their names and shapes."""
WORK_LIMIT: Final = 1 << 22
"""Most fields that are read of all models of one folder."""
MODEL_LIMIT: Final = 1 << 12
"""Most models of one folder that are read."""
SUFFIX: Final = ".onnx"

_LOG: Final = logging.getLogger(__name__)


class OnnxDataParser:
    """Finds the tensors in a file that an ONNX model beside it describes."""

    name = "onnx external data"

    def suits(self, file_name: str, head: bytes) -> bool:
        """Any file may be one."""
        return bool(head)

    def parse(self, source: Source) -> list[Region] | None:
        """The tensors that the first model tells of whose account fits, and what lies between.

        Models that the file is named after come first.
        """
        beside = source.beside
        if beside is None or not (models := beside.names(SUFFIX)):
            return None
        told: _Told = beside.once("onnx external data", _Told)
        for model in _ordered(models, beside):
            regions = told.by(beside, model).get(beside.name)
            if regions and (fitting := _fit(regions, source.size, model)):
                return fitting
        return None


def _ordered(models: Sequence[str], beside: Siblings) -> list[str]:
    """All `models`, first those that the file is named after; also such a one that is not among
    them, where the folder has more than are listed."""
    named_after = beside.name.startswith
    begins = sorted(models, key=lambda name: not named_after(name[: -len(SUFFIX)]))
    dots = (at for at, letter in enumerate(beside.name) if letter == ".")
    missing = (name for at in dots if (name := beside.name[:at] + SUFFIX) not in models)
    return [*(name for name in missing if beside.look(name, _is_there)), *begins]


def _is_there(_: Source) -> bool:
    return True


class _Told:
    """What the models of one folder tell of other files, each read once."""

    def __init__(self) -> None:
        self._tensors = EXTERNAL_LIMIT
        self._work = WORK_LIMIT
        self._models: set[str] = set()
        self._room = ROOM

    def by(self, beside: Siblings, model: str) -> dict[str, list[Region]]:
        """The tensors in each file that `model` tells of, sorted by offset."""
        if model not in self._models and len(self._models) == MODEL_LIMIT:
            return {}
        self._models.add(model)
        return beside.once(f"onnx {model}", lambda: self._read(beside, model))

    def _read(self, beside: Siblings, model: str) -> dict[str, list[Region]]:
        if self._work <= 0:
            return {}
        walk = beside.look(model, self._walked)
        files: dict[str, list[Region]] = {}
        for location, region in walk.external if walk else ():
            files.setdefault(location, []).append(region)
        for regions in files.values():
            regions.sort(key=lambda region: region.offset)
        return files

    def _walked(self, source: Source) -> Walk | None:
        room = Room(self._room)
        walk = Walk(source, room, external=self._tensors)
        try:
            walk.run()
        except ValueError as error:
            _LOG.debug("a malformed ONNX model tells nothing of other files: %s", error)
            return None
        finally:
            self._work -= walk.fields
        self._tensors -= len(walk.external)
        self._room = room.left
        return walk


def _fit(regions: list[Region], size: int, model: str) -> list[Region] | None:
    """The file's regions as told, or None. Several tensors with the same bytes are one."""
    distinct: dict[tuple[int, int], Region] = {}
    for region in regions:
        distinct.setdefault((region.offset, region.size), region)
    try:
        return filled(distinct.values(), size)
    except ValueError as error:
        _LOG.debug("what %s tells of a file beside it does not fit: %s", model, error)
        return None
