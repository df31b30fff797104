"""The first keyring of a new encrypted store, and the sheet that goes with it."""

from dataclasses import dataclass, field

from ...ids import StoreId
from ..formats.keyring import Cost
from .keyring import Keyring, new_entry
from .keys import random_master
from .secrets import Secret
from .sheetfile import remove_sheet, write_sheet


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a new store is to be encrypted: what opens it, and where its recovery sheet is written,
    None where nobody wants one. `cost` is of Argon2id, None what is right for the secret; `master`
    is the key itself."""

    secret: Secret
    sheet: str | None = None
    label: str = ""
    cost: Cost | None = None
    master: bytes = field(default_factory=random_master, repr=False)

    def begin(self, store: StoreId) -> bytes:
        """Write the sheet; the first keyring, sealed. Blocks.

        ExistsError where the sheet is there already, UsageError where it cannot be written.
        """
        entry = new_entry(store, self.master, self.secret, self.label, self.cost)
        sealed = Keyring(store, 1, (entry,)).sealed(self.master)
        if self.sheet is not None:
            write_sheet(self.sheet, store, self.master)
        return sealed

    def give_up(self) -> None:
        """Take back what `begin` wrote, where the store was not made after all. Blocks."""
        if self.sheet is not None:
            remove_sheet(self.sheet)
