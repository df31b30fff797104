"""How commands get what is lost from where files came from: with the user's token for the hub."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .settings import Settings

if TYPE_CHECKING:
    from ..cas.read.refetch import FetchRange


def fetch_by(settings: Settings) -> "FetchRange | None":
    """What asks sources, None where the setting `use_sources` is off."""
    if not settings.switch("use_sources"):
        return None
    from ..hub.httpsource import HttpSource

    environment = settings.environment
    return HttpSource(environment.get("HF_ENDPOINT", ""), lambda: hub_token(environment)).fetch


def hub_token(environment: Mapping[str, str]) -> str:
    """The token for the hub where huggingface_hub has it, "" if nowhere."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := environment.get(variable, "").strip():
            return token
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or os.path.join(cache, "huggingface")
    path = environment.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    try:
        with open(os.path.expanduser(path), encoding="ascii", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""
