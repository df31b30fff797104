"""`modelfloat mount`: show the store as files."""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import background
from .cacheflags import CacheFolder, CacheLocal, CacheSize, cache_options
from .failures import log_times, tell_mounting
from .keysource import secret_of
from .mountflags import (
    AllowOther,
    BindingName,
    Directory,
    Foreground,
    Gid,
    Memory,
    Metrics,
    ReadRepair,
    Refresh,
    SlowRead,
    Uid,
    Umask,
    WarmSets,
    group_id,
    permission_mask,
    user_id,
)
from .mountrequest import MountRequest
from .options import command
from .output import say, say_json
from .session import in_store
from .settings import Settings
from .settingvalues import OFF
from .starting import allow_descriptors

if TYPE_CHECKING:
    from ..cas.cache.options import CacheOptions
    from ..cas.read.options import ReadOptions
    from ..cas.store import Store
    from ..fuse.mountoptions import MountOptions


@command
def mount(
    settings: Settings,
    directory: Directory = None,
    foreground: Foreground = False,
    allow_other: AllowOther = None,
    uid: Uid = None,
    gid: Gid = None,
    umask: Umask = None,
    binding: BindingName = None,
    memory: Memory = None,
    warm_sets: WarmSets = None,
    read_repair: ReadRepair = None,
    slow_read: SlowRead = None,
    refresh: Refresh = None,
    metrics: Metrics = None,
    cache: CacheFolder = None,
    cache_size: CacheSize = None,
    cache_local: CacheLocal = None,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
    key_fd: Annotated[int | None, typer.Option("--key-fd", hidden=True)] = None,
) -> int | None:
    """Show every repository as files.

    DIR/vendor/name/file is the newest state of its branch main, DIR/vendor/name@REV/file any other.
    """
    cached = cache_options(settings, cache, cache_size, cache_local)
    asked = MountRequest(
        settings.text("mount", directory),
        _shown(settings, allow_other, uid, gid, umask),
        settings.text("binding", binding),
        settings.number("slow_read", slow_read),
        settings.text("metrics", metrics),
        _reading(settings, memory, cached, warm_sets, read_repair),
        settings.number("refresh", refresh),
    )
    if cache is not None and ready_fd is None:
        _make_cache(settings, cached)
    if not foreground:
        return _in_background(settings, asked)
    allow_descriptors()
    tell_mounting(settings)
    if ready_fd is not None:
        from .boundedlog import keep_short

        log_times()
        keep_short(log_path(settings.store, asked.path))
    in_store(
        settings,
        lambda store: _serve(settings, store, asked, ready_fd),
        asked.reading,
        secret=None if key_fd is None else background.take_secret(key_fd),
        refresh=asked.refresh,
    )
    return None


def _shown(
    settings: Settings,
    allow_other: bool | None,
    uid: str | None,
    gid: str | None,
    umask: str | None,
) -> "MountOptions":
    """To whom the files are shown, and as whose."""
    from ..fuse.mountoptions import MountOptions

    return MountOptions(
        settings.switch("allow_other", allow_other),
        None if uid is None else user_id(uid),
        None if gid is None else group_id(gid),
        None if umask is None else permission_mask(umask),
    )


def _reading(
    settings: Settings,
    memory: str | None,
    cache: "CacheOptions",
    warm_sets: bool | None,
    read_repair: bool | None,
) -> "ReadOptions":
    """How it is read."""
    from ..cas.read.options import ReadOptions

    return ReadOptions(
        memory=int(settings.number("memory", memory)),
        cache=cache,
        warm_sets=settings.switch("warm_sets", warm_sets),
        repair=settings.switch("read_repair", read_repair),
    )


def _make_cache(settings: Settings, options: "CacheOptions") -> None:
    """Fail at once where a folder that was asked for cannot be had; reading would go on without."""
    from ..cas.cache.folder import CacheFolder as Folder
    from ..config import read_config

    if options.size:
        Folder(options.folder, read_config(settings.store).id).make()


async def _serve(
    settings: Settings, store: "Store", asked: MountRequest, ready_fd: int | None
) -> None:
    from ..fuse.endpoint import parse_endpoint
    from ..fuse.mounting import load_binding, serve
    from .notify import notify

    # Without its key all names could be shown, and not one file be read.
    store.members.cipher.require()

    def ready() -> None:
        notify(settings.notify_socket, f"READY=1\nSTATUS=mounted on {asked.path}")
        if ready_fd is not None:
            background.announce(ready_fd)
        elif not settings.quiet:
            sys.stderr.write(f"mounted on {asked.path}; Ctrl-C unmounts\n")

    def stopping() -> None:
        notify(settings.notify_socket, "STOPPING=1")

    await serve(
        store,
        asked.path,
        asked.options,
        ready,
        stopping=stopping,
        binding=load_binding(asked.binding),
        slow=asked.slow_read,
        metrics=None if asked.metrics == OFF else parse_endpoint(asked.metrics),
        tell_others=store.mounted,
    )


def _in_background(settings: Settings, asked: MountRequest) -> int:
    from ..config import read_config

    read_config(settings.store)  # a store that is not there should get no log folder
    log = log_path(settings.store, asked.path)
    secret = secret_of(settings)
    status = background.start(asked.arguments(settings), log, secret)
    kept = os.path.exists(log)
    if status == 0 and settings.json:
        say_json({"mounted": asked.path, "log": log if kept else None})
    elif status == 0 and not settings.quiet:
        say(f"mounted on {asked.path}" + (f"; log: {log}" if kept else ""))
    return status


def log_path(store: str, path: str) -> str:
    """The log of the mount on `path`: `STORE/log/mount-srv-models.log`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path)[-100:].strip("-") or "root"
    return os.path.join(store, "log", f"mount-{name}.log")
