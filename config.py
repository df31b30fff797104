"""The file `config.toml` of a store, which says who the store is and what it has.

What stands in it is in `configtoml`, and what that means in `storeconfig`. The file is written as a
whole and atomically, readable by its owner only (URLs may come to hold secrets).
"""

import os
import tomllib
from typing import Final

from .configtoml import check_backends, decode_config, encode_config
from .durable import replace_file
from .errors import FormatError, NotFoundError
from .storeconfig import StoreConfig

CONFIG_NAME: Final = "config.toml"
OWN_FOLDER: Final = "backends"
"""Where, in the store's folder, `init` puts directories of its own."""


def config_path(store: str) -> str:
    """Where the configuration of the store in the folder `store` lies."""
    return os.path.join(store, CONFIG_NAME)


def read_config(store: str) -> StoreConfig:
    """Read the configuration of the store in the folder `store`.

    NotFoundError when there is no store, FormatError when the file is not what `write_config`
    writes.
    """
    path = config_path(store)
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if remains := what_remains(store):
            raise NotFoundError(
                f"{path} is missing, but {remains} is there: restore it, or have `modelfloat init "
                "--join --backend URL` make it anew from a backend"
            ) from None
        raise NotFoundError(
            f"there is no store at {store}; make one with `modelfloat init`, or name another with "
            "--store"
        ) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid TOML: {error}; correct it") from error
    return decode_config(document, path)


def what_remains(store: str) -> str | None:
    """What shows that the folder `store` was a store, whether or not it has a configuration: its
    index, or the marker of a backend in it; None if there is neither."""
    import glob  # here, because hardly ever

    index = os.path.join(store, "index", "data.mdb")
    markers = os.path.join(glob.escape(store), OWN_FOLDER, "*", "modelfloat.json")
    return index if os.path.exists(index) else next(iter(sorted(glob.glob(markers))), None)


def write_config(store: str, config: StoreConfig) -> None:
    """Write the configuration of the store in the folder `store`, atomically and durably.

    FormatError or UsageError when it could not be read back: doubled names, text that is not
    Unicode.
    """
    path = config_path(store)
    check_backends(config.backends, path)
    data = encode_config(config)
    replace_file(path, data, 0o600)
