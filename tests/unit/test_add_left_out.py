"""What `add` leaves out by its name is told, a line for each rule."""

from pathlib import Path

from modelfloat.tests.support.command import modelfloat


def test_what_is_left_out_is_counted_by_rule(tmp_path: Path) -> None:
    store, folder = f"--store={tmp_path / 'store'}", tmp_path / "model"
    for name in (".git/config", "a.incomplete", "b.incomplete", "x.log", "kept"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert modelfloat(store, "init").returncode == 0
    for dry_run in ([], ["--dry-run"]):
        done = modelfloat(store, "add", *dry_run, "--exclude=*.log", folder, "acme/tiny")
        assert done.stderr.splitlines() == [
            f"modelfloat: skipped {folder}/.git and 2 more, left out by default",
            f"modelfloat: skipped {folder}/x.log, left out by --exclude",
        ]


def test_sources_of_one_name_are_both_named(tmp_path: Path) -> None:
    store = f"--store={tmp_path / 'store'}"
    assert modelfloat(store, "init").returncode == 0
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    paths = [tmp_path / name / "config.json" for name in ("a", "b")]
    done = modelfloat(store, "add", *paths, "acme/tiny")
    assert done.stderr.endswith(f"to the same place, from {paths[0]} and {paths[1]}\n")


def test_a_file_is_no_folder_to_get_into(tmp_path: Path) -> None:
    store, file = f"--store={tmp_path / 'store'}", tmp_path / "r.bin"
    file.write_bytes(b"r")
    assert modelfloat(store, "init").returncode == 0
    assert modelfloat(store, "add", file, "acme/base").returncode == 0
    done = modelfloat(store, "get", "acme/base", file)
    assert f"{file} is there and is no directory; move it away" in done.stderr


def test_doctor_tells_of_a_missing_index_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert modelfloat("--store", store, "init").returncode == 0
    (store / "index").rename(tmp_path / "index")
    assert modelfloat("--store", store, "doctor").stdout.count("no index at") == 1
