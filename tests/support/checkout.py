"""The checkout as the packaging tests see it: its root, its product modules, its own text files."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_PRODUCT = frozenset({"tests", "bench", "demo", "docs"})
GENERATED = frozenset({"build", "dist", "__pycache__"})
HIDDEN_BUT_OURS = frozenset({".ci", ".github", ".gitignore"})


def is_own(name: str) -> bool:
    """Whether a file or folder of this name belongs to the project rather than to a tool."""
    if name.startswith("."):
        return name in HIDDEN_BUT_OURS
    return name not in GENERATED and not name.endswith((".egg-info", ".pyc"))


def own_files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file of the project below `folder`, whether committed yet or not."""
    for path in sorted(folder.iterdir()):
        if not is_own(path.name) or path.is_symlink():
            continue
        if path.is_dir():
            yield from own_files(path)
        else:
            yield path


def product_modules() -> list[Path]:
    """Every Python file that users install, relative to the root."""
    files = (path.relative_to(ROOT) for path in own_files() if path.suffix == ".py")
    return [path for path in files if path.parts[0] not in NOT_PRODUCT]
