"""Zip archives with weights in them: PyTorch's and NumPy's."""

import logging
from typing import Final

from .gaps import filled
from .npz import is_npz, npz_regions
from .parser import Source
from .regions import Region
from .room import Room
from .torchzip import is_torch, torch_regions
from .zipdirectory import MAGIC, locate, read_directory

_LOG: Final = logging.getLogger(__name__)
_FORMATS: Final = ((is_torch, torch_regions), (is_npz, npz_regions))


class ZipParser:
    """Finds the tensors of an archive that is PyTorch's or NumPy's, by its members' names."""

    name = "zip"

    def suits(self, file_name: str, head: bytes) -> bool:
        """By its beginning, whatever it is called."""
        return head.startswith(MAGIC)

    def parse(self, source: Source) -> list[Region] | None:
        """Each tensor that is stored as it is, and what lies between them; None for a malformed
        archive, and for one without any."""
        try:
            tensors = _tensors(source)
            if tensors:
                return filled(tensors, source.size)
        except ValueError as error:
            _LOG.debug("a malformed zip archive, cut as unknown bytes: %s", error)
            return None
        _LOG.debug("a zip archive with no tensors stored as they are, cut as unknown bytes")
        return None


def _tensors(source: Source) -> list[Region]:
    """What the first format finds that knows the members' names."""
    room = Room.of(source.size)
    end, entries = read_directory(source, room)
    for belongs, regions in _FORMATS:
        if belongs(entries):
            return list(regions(source, locate(source, end, entries, room), room))
    return []
