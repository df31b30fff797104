"""ONNX Runtime: a model in one file, and one whose tensors lie in a file beside it."""

from pathlib import Path

import numpy as np
import onnxruntime
from answers import main, told

WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "no prepacking": {"session.disable_prepacking": "1"},
    "initializers apart": {"session.use_device_allocator_for_initializers": "1"},
}


def make(folder: str) -> None:
    """Models are made by whoever calls this program."""
    raise SystemExit(f"put model.onnx and external.onnx into {folder}")


def results(path: Path, entries: dict[str, str]) -> np.ndarray:
    """What a model answers."""
    options = onnxruntime.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]
    (asked,) = session.get_inputs()
    values = np.linspace(-1, 1, asked.shape[1], dtype=np.float32)[None]
    return session.run(None, {asked.name: values})[0]


def check(folder: str, mounted: str) -> None:
    """The same answers by every way."""
    for name in ("model.onnx", "external.onnx"):
        for way, entries in WAYS.items():
            wanted = results(Path(folder, name), entries)
            assert wanted.any()
            assert np.array_equal(results(Path(mounted, name), entries), wanted), way
    told("onnxruntime", ways=list(WAYS))


if __name__ == "__main__":
    main(make, check)
