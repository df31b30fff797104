"""Sets of sharded models: files that differ, as `save_pretrained` names them, with their index."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source, generate, incompressible

INDEX: Final = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Set:
    """A folder of shards, in order."""

    folder: Path
    shards: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size for shard in self.shards)


def make_set(folder: Path, seed: str, shards: int, size: int) -> Set:
    """A set of `shards` files of about `size` bytes each, of random BF16 that `seed` decides."""
    folder.mkdir(parents=True)
    made = []
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        blocks = partial(incompressible, seed=f"{seed} {number}")
        made.append(generate(folder / name, size, blocks))
    names = {f"shard.{each.path.name}": each.path.name for each in made}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return Set(folder, tuple(made))
