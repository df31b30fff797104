"""Let a model say what kind of files these are: `infer.py ORIGINAL MOUNTED FILE...`

Both copies of the ONNX model (magika, which tells file types apart) run on the same files, and
their answers must be equal bit for bit. What the model expects: the first and the last 1,024 bytes
of a file without the white space around it, as integers, filled up with the number 256.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

END = 1024
PADDING = 256


def main(original: str, mounted: str, *paths: str) -> None:
    """Run the model from both places on the files `paths`; the results must be equal."""
    files = [Path(path) for path in paths if Path(path).is_file()]
    inputs = np.stack([_features(file.read_bytes()) for file in files])
    expected, scores = _run(original, inputs), _run(mounted, inputs)
    if not np.array_equal(expected, scores):
        sys.exit(f"infer: {mounted} and {original} give different answers")
    labels = json.loads(Path("labels.json").read_bytes())["target_labels_space"]
    for file, row in zip(files, scores, strict=True):
        best = int(row.argmax())
        print(f"{file.name:<12} {labels[best]:<8} {row[best]:.1%}")
    print(f"{scores.size:,} numbers, all equal to the original's")


def _run(path: str, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores: np.ndarray = session.run(None, {"bytes": inputs})[0]
    return scores


def _features(content: bytes) -> np.ndarray:
    features = np.full(2 * END, PADDING, dtype=np.int32)
    first = np.frombuffer(content[: 4 * END].lstrip()[:END], dtype=np.uint8)
    last = np.frombuffer(content[-4 * END :].rstrip()[-END:], dtype=np.uint8)
    features[: first.size] = first
    features[2 * END - last.size :] = last
    return features


if __name__ == "__main__":
    main(*sys.argv[1:])
