"""`modelfloat diff` as it is printed, and the document that `--json` prints."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from modelfloat.api import Store as Api
from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.diff.difference import Tensor, TensorChange, TensorKind
from modelfloat.cli.difftensors import CHANGED_SHOWN, SHOWN, tensor_row, tensor_rows
from modelfloat.cli.main import run
from modelfloat.tests.support.completion import complete
from modelfloat.tests.support.tensors import u8, write

KINDS = ("changed", "retyped", "reshaped", "renamed", "moved", "added", "removed", "same")
Capture = pytest.CaptureFixture[str]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acme/old and acme/new, which differ in every way."""
    folder = tmp_path_factory.mktemp("diff")
    old, new = folder / "old", folder / "new"
    large = {f"block.{i}": u8(f"b{i}", 100_000) for i in range(12)}
    write(old / "model.safetensors", {**large, "gone": u8("g", 40), "name": u8("n", 70_000)})
    changed = {**large, "block.3": u8("x", 100_000), "\x1b[31m": u8("n", 70_000)}
    write(new / "model-1.safetensors", {**changed, "fresh": ("F32", [2, 5], bytes(40))})
    (old / "a.txt").write_bytes(b"a text of some length")
    (new / "b.txt").write_bytes(b"a text of some length")
    (new / "b.txt").chmod(0o600)
    (old / "a.txt").chmod(0o644)
    (old / "link").symlink_to("a.txt")
    (new / "link").symlink_to("b.txt")
    for path, mode in ((old / "run", 0o644), (new / "run", 0o755)):
        path.write_bytes(b"run")
        path.chmod(mode)
    options = ["--store", str(folder / "store"), "--quiet"]
    assert run([*options, "init", "--erasure", "2+1"]) == 0
    assert run([*options, "add", str(old), "acme/old"]) == 0
    assert run([*options, "add", str(new), "acme/new"]) == 0
    return folder / "store"


@pytest.fixture
def diff(store: Path, capsys: Capture) -> Run:
    def run_diff(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        assert run(["--store", str(store), "diff", *arguments]) == status
        said = capsys.readouterr()
        return said.err if status else said.out

    return run_diff


def test_what_people_see(diff: Run) -> None:
    lines = diff("acme/old", "acme/new").splitlines()
    moved = "  > block.{:<12}  U8 [100000]   100 kB  from model.safetensors"
    notes = "from model.safetensors, --verbose or --json names them"
    assert lines == [
        "> a.txt → b.txt  21 B  0644 → 0600",
        "~ link  link to a.txt → link to b.txt",
        "+ model-1.safetensors  1.27 MB",
        "  > name → \\x1b[31m     U8 [70000]   70.0 kB  from model.safetensors",
        *(moved.format(i) for i in range(3)),
        "  ~ block.3             U8 [100000]   100 kB  from model.safetensors",
        *(moved.format(i) for i in range(4, 9)),
        "  + fresh               F32 [2, 5]      40 B",
        f"  > … and 3 more moved                300 kB  {notes}",
        "- model.safetensors  1.27 MB",
        "  - gone  U8 [40]  40 B",
        "~ run  0644 → 0755",
        "files    1 changed, 1 with another mode, 1 renamed, 1 added, 1 removed",
        "tensors  1 changed, 1 renamed, 11 moved, 1 added, 1 removed",
        "         100 kB changed, 40 B added, 40 B removed",
        "bytes    1.27 MB in B, 1.17 MB of it in A; 101 kB new",
    ]


def test_types_and_shapes_are_told_once_where_they_are_the_same() -> None:
    old = Tensor(b"m", "w", ElementType.F32, (2, 3), 24)
    rows = [
        tensor_row(TensorChange(kind, old, new, same_bytes))
        for kind, new, same_bytes in (
            ("retyped", Tensor(b"m", "w", ElementType.BF16, (2, 3), 12), False),
            ("reshaped", Tensor(b"m", "w", ElementType.F32, (6,), 24), True),
            ("retyped", Tensor(b"m", "w", 250, (3,), 24), True),
        )
    ]
    assert rows == [
        ["  ~ w", "F32 → BF16 [2, 3]", "24 B → 12 B", "other bytes"],
        ["  ~ w", "F32 [2, 3] → [6]", "24 B", "same bytes"],
        ["  ~ w", "F32 → type 250 [2, 3] → [3]", "24 B", "same bytes"],
    ]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "same"])
def test_of_many_tensors_the_first_are_named(kind: TensorKind) -> None:
    sides = [Tensor(b"m", f"w{number}", ElementType.U8, (10,), 10) for number in range(60)]
    changes = [
        TensorChange(kind, None if kind == "added" else s, None if kind == "removed" else s, False)
        for s in sides
    ]
    named = CHANGED_SHOWN if kind in ("changed", "retyped", "reshaped") else SHOWN
    *rows, last = tensor_rows(changes, verbose=False)
    assert rows == [tensor_row(change) for change in changes[:named]]
    assert last[0].endswith(f" … and {60 - named} more {kind}")
    assert last[2:] == [f"{600 - 10 * named} B", "--verbose or --json names them"]
    assert list(tensor_rows(changes, verbose=True)) == [tensor_row(c) for c in changes]


def test_verbose_names_all(diff: Run) -> None:
    lines = diff("--verbose", "acme/old", "acme/new").splitlines()
    assert sum(line.startswith("  > block.") for line in lines) == 11


def test_nothing_differs(diff: Run) -> None:
    assert diff("acme/old", "acme/old").splitlines() == [
        "files  none differs",
        "bytes  1.27 MB in B, 1.27 MB of it in A; 0 B new",
    ]


def shape_of(document: Any) -> Any:
    """The keys and types of a document, however many items its lists have."""
    if isinstance(document, dict):
        return {key: shape_of(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape_of(document[0])] if document else []
    return type(document).__name__


def test_the_document_stays_as_it_is(diff: Run) -> None:
    document = json.loads(diff("--json", "acme/old", "acme/new"))
    tensor = {"file": "str", "name": "str", "type": "str", "shape": ["int"], "bytes": "int"}
    file = {"path": "str", "type": "str", "mode": "str", "size": "int", "blake3": "str"}
    count = {"count": "int", "bytes": "int"}
    assert shape_of(document) == {
        "old": "str",
        "new": "str",
        "files": [
            {"change": "str", "path": "str", "old": file, "new": file, "unknown": "NoneType"}
        ],
        "tensors": [{"change": "str", "same_bytes": "bool", "old": tensor, "new": tensor}],
        "summary": {
            "files": dict.fromkeys(("changed", "mode", "renamed", "added", "removed"), "int"),
            "tensors": dict.fromkeys(KINDS, count),
            **dict.fromkeys(("changed_bytes", "old_size", "new_size", "known", "fresh"), "int"),
        },
    }
    assert [each["change"] for each in document["files"]] == [
        *("renamed", "changed", "added", "removed", "mode")
    ]
    assert len(document["tensors"]) == 15, "all are named"
    (fresh,) = (t for t in document["tensors"] if t["change"] == "added")
    assert fresh["old"] is None
    assert fresh["new"] == {
        "file": "model-1.safetensors",
        "name": "fresh",
        "type": "F32",
        "shape": [2, 5],
        "bytes": 40,
    }
    link, run_file = document["files"][1], document["files"][4]
    assert (link["old"]["target"], link["new"]["target"]) == ("a.txt", "b.txt")
    assert run_file["old"]["blake3"] == blake3(b"run").hexdigest()
    assert document["summary"]["tensors"]["moved"] == {"count": 11, "bytes": 1_100_000}


def test_an_empty_document(diff: Run) -> None:
    document = json.loads(diff("--json", "acme/old", "acme/old"))
    assert (document["files"], document["tensors"]) == ([], [])


def test_what_is_not_there(diff: Run) -> None:
    assert "there is no repository acme/none" in diff("acme/old", "acme/none", status=1)
    assert "acme/new/none is not there" in diff("acme/new/none", "acme/old", status=1)
    assert "no VENDOR/NAME" in diff("acme", "acme/old", status=2)


def test_small_tensors_that_are_stored_anew_are_explained(tmp_path: Path, capsys: Capture) -> None:
    """They share chunks with their neighbours: with others beside them their bytes come again."""
    small = {f"w{i}": u8(f"w{i}", 3_000) for i in range(9)}
    write(tmp_path / "a" / "m.safetensors", small)
    write(tmp_path / "b" / "m.safetensors", dict(list(small.items())[::-1]))
    options = ["--store", str(tmp_path / "store"), "--quiet"]
    assert run([*options, "init", "--erasure", "2+1"]) == 0
    for name in ("a", "b"):
        assert run([*options, "add", str(tmp_path / name), f"acme/{name}"]) == 0
    for other, said in (("b", True), ("a", False)):
        capsys.readouterr()
        assert run([*options, "diff", "acme/a", f"acme/{other}"]) == 0
        out = capsys.readouterr().out
        assert ("  0 B changed\n" in out) is said
        assert ("no tensor has new bytes: new are headers" in out) is said


def test_a_format_that_is_not_understood(tmp_path: Path, capsys: Capture) -> None:
    """What no tensors are known of is not told to have lost them."""
    known, other = tmp_path / "m.safetensors", tmp_path / "m.h5"
    write(known, {f"w{i}": u8(f"w{i}", 70_000) for i in range(3)})
    other.write_bytes(b"of no known format")
    options = ["--store", str(tmp_path / "store"), "--quiet"]
    assert run([*options, "init", "--erasure", "2+1"]) == 0
    for path in (known, other):
        assert run([*options, "add", str(path), "acme/m"]) == 0
    a, b = "acme/m/m.safetensors", "acme/m/m.h5"
    for sides, unknown, side in (((a, b), "new", "B"), ((b, a), "old", "A")):
        capsys.readouterr()
        assert run([*options, "diff", *sides]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1:3] == [f"  no tensors known in {side}", "files  1 changed"]
        assert run([*options, "--json", "diff", *sides]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["files"][0]["unknown"] == unknown
        assert document["tensors"] == []
        assert document["summary"]["tensors"]["removed"]["count"] == 0


def test_a_file_on_disk_is_no_address(
    diff: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.safetensors").write_bytes(b"")
    for path in ("m.safetensors", "./m.safetensors", str(tmp_path / "m.safetensors")):
        for sides in (("acme/old", path), (path, "acme/old")):
            said = diff(*sides, status=2)
            assert f"{path} is on this disk: diff compares what is stored; add it first" in said


def test_addresses_are_completed(store: Path) -> None:
    found = complete("modelfloat diff acme/old acme/", MODELFLOAT_STORE=str(store))
    assert found == ["acme/new", "acme/old"]


def test_the_same_from_python(store: Path) -> None:
    with Api(store) as api, api.diff("acme/old", "acme/new") as difference:
        kinds = {file.path: file.kind for file in difference.files()}
        assert kinds[b"model.safetensors"] == "removed"
        found = [t for file in difference.files() for t in difference.tensors(file)]
        assert len(found) == 15
        assert difference.summary.changed_bytes == 100_000
