"""What is told where nothing has a name, each in one place: repositories, branches and tags,
paths."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ..errors import NotFoundError
from .refnames import Address, RefHead, RepoName

_SHOWN: Final = 8
"""Names of what is there, at most."""


def nothing_at(address: Address) -> NotFoundError:
    """What is told of a path that is not there."""
    root = replace(address, path=())
    return NotFoundError(f"{address} is not there; `modelfloat ls {root}` shows what is")


def no_repository(repo: RepoName) -> NotFoundError:
    """What is told of a repository that is not there."""
    return NotFoundError(f"there is no repository {repo}; `modelfloat ls` shows what is")


def no_ref(repo: RepoName, rev: str | None, heads: Iterable[RefHead]) -> NotFoundError:
    """What is told of a branch or tag that is not there; `heads` are those that are."""
    return NotFoundError(f"{repo} has no branch or tag {rev!r}; it has {known(heads)}")


def no_folder(path: str) -> NotFoundError:
    """What is told of a folder that is to get a file and is not there."""
    return NotFoundError(f"there is no folder {path}; make it first")


def known(heads: Iterable[RefHead]) -> str:
    """The names of refs, the first few."""
    return ", ".join(sorted({head.ref for head in heads})[:_SHOWN]) or "none"
