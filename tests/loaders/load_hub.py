"""huggingface_hub finds a model, its revisions and its files in the cache that a mount shows."""

import contextlib
import os
import sys
from pathlib import Path

import huggingface_hub as hub
from answers import main, told
from huggingface_hub.utils import LocalEntryNotFoundError

FILES = {"config.json": b"{}", "model.safetensors": bytes(300_000), "deep/er/notes.txt": b"notes"}


def make(folder: str) -> None:
    """Some files."""
    for name, content in FILES.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files(folder: str) -> dict[str, bytes]:
    """What lies in a folder, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def check(folder: str, name: str) -> None:
    """`main` and the tag `v1` are what lies in `folder`."""
    wanted = files(folder)
    snapshot = hub.snapshot_download(name)
    commit = os.path.basename(snapshot)
    assert Path(snapshot).is_relative_to(os.environ["HF_HUB_CACHE"]), snapshot
    assert files(snapshot) == wanted
    # huggingface_hub 1.33 asks the Hub for a commit's files, although it is offline, unless told.
    assert hub.snapshot_download(name, revision=commit, local_files_only=True) == snapshot
    assert hub.snapshot_download(name, revision="v1") == snapshot
    for revision in ("main", "v1", commit):
        for path in wanted:
            assert hub.hf_hub_download(name, path, revision=revision) == f"{snapshot}/{path}"
            found = hub.try_to_load_from_cache(name, path, revision=revision)
            assert found == f"{snapshot}/{path}", found
    for revision, path in (("main", "none"), ("none", "config.json"), ("0" * 40, "config.json")):
        assert hub.try_to_load_from_cache(name, path, revision=revision) is None
        with contextlib.suppress(LocalEntryNotFoundError):
            sys.exit(f"found: {hub.hf_hub_download(name, path, revision=revision)}")
    scan(name, wanted, commit)
    told("huggingface_hub", ways=["snapshot_download", "hf_hub_download", "scan_cache_dir"])


def scan(name: str, wanted: dict[str, bytes], commit: str) -> None:
    """The cache as a whole is a proper one."""
    cache = hub.scan_cache_dir()
    assert not cache.warnings, cache.warnings
    (repo,) = (repo for repo in cache.repos if repo.repo_id == name)
    assert repo.size_on_disk == sum(map(len, wanted.values()))
    assert {(rev.commit_hash, rev.refs) for rev in repo.revisions} == {
        (commit, frozenset({"main", "v1"}))
    }


if __name__ == "__main__":
    main(make, check)
