"""A store that holds chunks of every codec comes back from its shards alone."""

import runpy
from pathlib import Path

from modelfloat.cas.codecs.registry import CODECS
from modelfloat.tests.support.everycodec import model
from modelfloat.tests.support.folders import contents
from modelfloat.tests.support.rescuing import SCRIPT, rescue
from modelfloat.tests.support.stores import add, fresh_store, shard_files


async def test_every_codec(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").write_bytes(model(300_000))
    (source / "notes.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(30_000)))
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await add(store, source)
    for shard in [path for i in (0, 1) for path in shard_files(tmp_path / "store", f"d{i}")]:
        shard.unlink()
    backends = sorted((tmp_path / "store" / "backends").iterdir())
    result = rescue(tmp_path / "out", backends)
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "out" / "acme" / "model") == contents(source)
    script = runpy.run_path(str(SCRIPT))
    chunks = script["Store"]([str(path) for path in backends], script["Keys"]("")).chunks
    used = {codec for (codec,) in chunks.execute("SELECT DISTINCT codec FROM chunk")}
    chunks.close()
    assert used == set(CODECS)
