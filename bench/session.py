"""What one bench run hands to its subjects."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from modelfloat.bench import buffers, data
from modelfloat.bench.harness import say


@dataclass(frozen=True)
class Session:
    """`work` is a folder on tmpfs; with `peers_only` a subject leaves ModelFloat out.

    `chunks` is for subjects that measure an index, and `folder`, on a disk, where they put it and
    whatever else is large; `files` is how many a folder of small files has,
    `also` names models of the user's, `storm` is the seconds of one, and `commits` how many each of
    several machines makes.
    """

    work: Path
    rounds: int
    size: int
    peers_only: bool
    chunks: int = 5_000_000
    folder: Path | None = None
    files: int = 200_000
    also: tuple[Path, ...] = ()
    storm: float = 60.0
    commits: int = 10

    @cached_property
    def source(self) -> data.Source:
        """The file that is added and read; made when the first subject asks for it."""
        say(f"making {self.size / 1e9:.1f} GB of random weights")
        return data.generate(self.work / "random.safetensors", self.size)

    @cached_property
    def weights(self) -> data.Source:
        """Likewise with N(0, 0.02) for weights, which a codec made for them can shrink."""
        say(f"making {self.size / 1e9:.1f} GB of normally distributed weights")
        return data.generate(self.work / "normal.safetensors", self.size, buffers.bf16_blocks)
