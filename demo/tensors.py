"""Compare two safetensors files tensor by tensor: `tensors.py ORIGINAL MOUNTED`."""

import sys

import numpy as np
from safetensors import safe_open


def main(original: str, mounted: str) -> None:
    """Compare every tensor of the mounted file with the original's."""
    with safe_open(original, "numpy") as left, safe_open(mounted, "numpy") as right:
        names = sorted(left.keys())
        if names != sorted(right.keys()):
            sys.exit(f"tensors: {mounted} does not hold the tensors of {original}")
        parameters = 0
        for name in names:
            tensor = right.get_tensor(name)
            if not np.array_equal(left.get_tensor(name), tensor):
                sys.exit(f"tensors: {name} differs in {mounted}")
            parameters += tensor.size
            if name.endswith("word_embeddings.weight"):
                norm = np.linalg.norm(tensor, axis=1).mean()
                print(f"{name}: {tensor.dtype} {tensor.shape}, mean norm of a row {norm:.4f}")
    print(f"{len(names)} tensors, {parameters:,} parameters: all equal to the original's")


if __name__ == "__main__":
    main(*sys.argv[1:])
