"""A store whose backends are buckets: made, filled, read, checked; what its configuration says."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.config import read_config, write_config
from modelfloat.tests.support.servers import SECRET_KEY, RcloneS3, SeaweedFS
from modelfloat.tests.support.stores import weights


def test_from_init_to_verify(
    seaweedfs: SeaweedFS,
    rclone_s3: RcloneS3,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, source = str(tmp_path / "store"), tmp_path / "model.bin"
    weights(source, 3_000_000)
    specs = {f"sea{i}": seaweedfs.s3_url(seaweedfs.new_bucket(), "m") for i in range(2)}
    backends = [f"--backend={name}={url}" for name, url in specs.items()]
    assert run(["--store", store, "init", "--erasure", "2+1", *backends]) == 0
    other = rclone_s3.s3_url(rclone_s3.new_bucket())
    assert run(["--store", store, "backend", "add", "odd", other]) == 0
    assert run(["--store", store, "add", str(source), "acme/tiny"]) == 0
    assert run(["--store", store, "get", "acme/tiny", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.bin").read_bytes() == source.read_bytes()
    assert run(["--store", store, "verify"]) == 0
    assert run(["--store", store, "backend", "ls"]) == 0
    told = capsys.readouterr()
    assert specs["sea0"] in told.out.replace("\n", "")
    written = "".join(p.read_text() for p in Path(store).rglob("*") if p.suffix == ".toml")
    assert SECRET_KEY not in told.out + told.err + written
    probed = {each.name: each.conditional_put for each in read_config(store).backends}
    assert probed == {"sea0": True, "sea1": True, "odd": False}
    # As it is written anew from a marker, which does not tell what was tried.
    config = read_config(store)
    write_config(
        store,
        replace(config, backends=tuple(replace(b, conditional_put=None) for b in config.backends)),
    )
    for name, found in probed.items():
        assert run(["--store", store, "backend", "set", name, "--weight", "1"]) == 0
        assert {b.name: b.conditional_put for b in read_config(store).backends}[name] is found


def test_a_bucket_that_is_not_there(
    seaweedfs: SeaweedFS, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    backend = f"a={seaweedfs.s3_url('nowhere')}"
    assert run(["--store", str(store), "init", "--backend", backend]) == 1
    assert "has no bucket nowhere; make it there" in capsys.readouterr().err
    assert not (store / "config.toml").exists()


def test_a_secret_in_a_url_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    for url in ("s3://key:hunter2@b", "s3://b?secret=hunter2", "s3://b?secret=hunter2,x=1"):
        assert run(["--store", str(store), "init", "--backend", f"a={url}"]) == 2
        assert "hunter2" not in capsys.readouterr().err
    assert not (store / "config.toml").exists()
