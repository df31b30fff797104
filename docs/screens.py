"""The terminal sessions of the README, made by running them: `python docs/screens.py`.

Each session runs in a folder of its own. What differs from run to run (times, rates, free space,
where chance puts shards) becomes `…`, an id one that is plainly made up, the folder `~`: so the
result is the same everywhere, a test can compare it, and no number is in it that was not there. It
writes `docs/screens/NAME.svg`, and the text between the README's marks of that name.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 92
MODEL = (
    "import json, random; n = 3_000_000; "
    "h = json.dumps({'w': {'dtype': 'U8', 'shape': [n], 'data_offsets': [0, n]}}).encode(); "
    "h += b' ' * (-len(h) % 8); "
    "[open(f'{name}.safetensors', 'wb').write("
    "len(h).to_bytes(8, 'little') + h + random.Random(name).randbytes(n))"
    " for name in ('model', 'another')]"
)
TUNED = (
    "import json, os, numpy as np; random = np.random.default_rng(1); n = 1 << 20; "
    "h = json.dumps({f'layers.{i}.weight': {'dtype': 'BF16', 'shape': [1024, 1024], "
    "'data_offsets': [2 * n * i, 2 * n * (i + 1)]} for i in range(4)}).encode(); "
    "layers = [random.normal(0, 0.02, n).astype('f4').view('u4') >> 16 for _ in range(5)]; "
    "[(os.mkdir(name), open(f'{name}/model.safetensors', 'wb').write("
    "len(h).to_bytes(8, 'little') + h + b''.join(layers[i].astype('u2').tobytes() for i in which)))"
    " for name, which in (('base', (0, 1, 2, 3)), ('tuned', (0, 1, 2, 4)))]"
)
SESSIONS = {
    "first": [
        "modelfloat init --erasure 4+2",
        "modelfloat add model.safetensors acme/tiny -m 'first weights'",
        "cp model.safetensors copy.safetensors",
        "modelfloat add copy.safetensors acme/copy",
        "modelfloat ls",
        "modelfloat log acme/tiny",
    ],
    "damage": [
        "rm -rf ~/store/backends/d1 ~/store/backends/d4",
        "modelfloat --quiet cat acme/tiny/model.safetensors | cmp - model.safetensors && echo same",
        "modelfloat --quiet verify --repair; echo status $?",
        "modelfloat --quiet verify; echo status $?",
    ],
    "removal": [
        "modelfloat add --dry-run another.safetensors acme/third",
        "modelfloat rm acme/copy",
        "modelfloat ls -l",
        "modelfloat config wait",
    ],
    "weights": [
        "modelfloat add base acme/base",
        "modelfloat add tuned acme/tuned",
        "modelfloat diff acme/base acme/tuned",
        "modelfloat stats | sed -n '/^repository/,/^$/p; /^elements/,/^$/p'",
    ],
    "history": [
        "modelfloat tag acme/tiny v1",
        "modelfloat mv acme/tiny/model.safetensors acme/tiny/weights/",
        "modelfloat log acme/tiny",
        "modelfloat undo acme/tiny",
        "modelfloat push ~/carried acme/tiny@v1",
        "modelfloat --store ~/laptop init --join --backend ~/store/backends/d0",
        "modelfloat --store ~/laptop ls",
    ],
}
CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?"), "YYYY-MM-DD hh:mm"),
    (re.compile(r"\b[0-9.,]+ [kMGT]?B/s"), "… MB/s"),
    (re.compile(r"\b\d+(?:\.\d+)? s\b"), "… s"),
    (re.compile(r"\b[0-9.]+ [GT]B(?= (?:that )?(?:are )?free)"), "… GB"),
    # Small packs lie where chance puts them.
    (re.compile(r"(?:^d\d: \d+ .*\n)+", re.MULTILINE), "…\n"),
    (re.compile(r"\d+ shards, [0-9.]+ MB read"), "… shards, … MB read"),
    (re.compile(r"[0-9.]+ MB written anew"), "… MB written anew"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "…"),
    (re.compile(r"\d+ records of \d+ writers? read"), "… records of … writers read"),
    (re.compile(r"^\d+ spare shards? w.* not read; .*\n", re.MULTILINE), ""),
)
_ID = re.compile(r"\b[0-9a-f]{12}\b")
MADE_UP = "abcdef"
"""What ids are made of, one letter each, in the order in which they come."""


def play(folder: Path) -> dict[str, str]:
    """Run all sessions, one after the other, in a new store below `folder`; their texts."""
    environment = {
        "PATH": f"{_program(folder)}:{os.environ['PATH']}",
        "HOME": str(folder),
        "MODELFLOAT_STORE": str(folder / "store"),
        "MODELFLOAT_AUTHOR": "Ada",
        "MODELFLOAT_RESERVE": "0",  # how large it is depends on the disk
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    for made in (MODEL, TUNED):
        subprocess.run([sys.executable, "-c", made], cwd=folder, check=True)
    ids: dict[str, str] = {}
    return {
        name: _with_made_up_ids("\n".join(_run(line, folder, environment) for line in lines), ids)
        for name, lines in SESSIONS.items()
    }


def _with_made_up_ids(text: str, known: dict[str, str]) -> str:
    """`text` with another id for each that is in it; one that was met before stays what it was."""
    return _ID.sub(lambda m: known.setdefault(m[0], MADE_UP[len(known)] * 12), text)


def _program(folder: Path) -> Path:
    """A folder with `modelfloat` in it, as the interpreter that runs us has it."""
    path = folder / "bin" / "modelfloat"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m modelfloat.cli.main "$@"\n')
    path.chmod(0o755)
    return path.parent


def _run(line: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    text = done.stdout.replace(str(folder), "~").rstrip("\n")
    for pattern, steady in CHANGING:
        text = pattern.sub(steady, text)
    return "\n".join([f"$ {line}", *([text] if text else [])])


def svg(name: str, text: str) -> str:
    """A picture of a terminal with that text in it."""
    from rich.console import Console
    from rich.text import Text

    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for line in text.splitlines():
            console.print(Text(line, style="bold" if line.startswith("$ ") else ""))
    return console.export_svg(title="modelfloat", unique_id=f"screen-{name}")


def in_readme(readme: str, texts: dict[str, str]) -> str:
    """The README with the sessions' texts between their marks."""
    for name, text in texts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = f"{before}{begin}```\n{text}\n```\n{end}{after}"
    return readme


def main() -> None:
    """Write the pictures and the README."""
    with tempfile.TemporaryDirectory() as folder:
        texts = play(Path(folder).resolve())
    pictures = ROOT / "docs" / "screens"
    pictures.mkdir(exist_ok=True)
    for name, text in texts.items():
        (pictures / f"{name}.svg").write_text(svg(name, text))
    readme = ROOT / "README.md"
    readme.write_text(in_readme(readme.read_text(), texts))


if __name__ == "__main__":
    main()
