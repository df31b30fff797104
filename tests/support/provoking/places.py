"""How stores are made, or joined, and backends added where they cannot be."""

from modelfloat.tests.support.provoking.scene import SECRET, Outcome, Provocation, Scene, plain


def _text_that_is_not_utf8(scene: Scene) -> Outcome:
    from dataclasses import replace

    from modelfloat.config import read_config, write_config

    config = read_config(str(scene.store))
    odd = replace(config.backends[0], url="/disk\udcff")
    return scene.raised(lambda: write_config(str(scene.store), replace(config, backends=(odd,))))


def _marker_that_cannot_be(count: int, name: str) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        from dataclasses import replace

        from modelfloat.backends.marker import decode, encode

        marker = decode((scene.store / "backends/d0/modelfloat.json").read_bytes(), "d0")
        entry = replace(marker.backends[0], name=name)
        return scene.raised(lambda: encode(replace(marker, backends=(entry,) * count)))

    return provoke


def _two_ways_to_log_in(scene: Scene) -> Outcome:
    client = scene.root / "client.json"
    client.write_text('{"installed": {"client_id": "x"}}')
    options = ("--client", client, "--device", "--all-files")
    return scene("backend", "login", "gdrive://folder", *options)


def _join(*places: str) -> Provocation:
    """`find_store` as the API calls it."""

    def provoke(scene: Scene) -> Outcome:
        import trio

        from modelfloat.finding import Place, find_store

        given = [Place(place) for place in places]
        return scene.raised(lambda: trio.run(find_store, str(scene.root / "new"), given))

    return provoke


def _joined(*backends: str) -> Provocation:
    """`init --join` in a new folder."""

    def provoke(scene: Scene) -> Outcome:
        given = [each.format(store=scene.store, root=scene.root) for each in backends]
        options = [option for each in given for option in ("--backend", each)]
        return scene("init", "--join", *options, store=scene.root / "new")

    return provoke


def _joined_elsewhere(scene: Scene) -> Outcome:
    (scene.store / "backends/d0").rename(scene.root / "moved")
    return _joined("{root}/moved")(scene)


def _nobody_answers(scene: Scene) -> Outcome:
    import io

    from modelfloat.cli import join

    scene.patch.setattr("sys.stdin", io.StringIO("\n"))
    return scene.raised(lambda: join._ask("d1", "backends/d1"))


def _two_stores(scene: Scene) -> Outcome:
    scene("init", store=scene.root / "one")
    return _joined("{store}/backends/d0", "{root}/one/backends/d0")(scene)


def _joined_over_another(scene: Scene) -> Outcome:
    scene("init", store=scene.root / "new")
    (scene.root / "new/config.toml").unlink()
    return _joined("{store}/backends/d0")(scene)


PROVOKED: dict[str, Provocation] = {
    # Wrong usage:
    "write it as k+m": plain("--store", "{root}/new", "init", "--erasure", "many"),
    "K+M means K data shards": plain("--store", "{root}/new", "init", "--erasure", "0+0"),
    "write it as NAME=URL": plain("--store", "{root}/new", "init", "--backend", "/disk"),
    "is unknown or doubled": plain("--store", "{root}/new", "init", "--backend", "a=/d,size=1"),
    "the URL is missing": plain("--store", "{root}/new", "init", "--backend", "a="),
    "the domain is empty": plain("backend", "add", "a", "{root}/a", "--domain", ""),
    "is no number": plain("backend", "add", "a", "{root}/a", "--weight", "heavy"),
    "nothing to change: give": plain("backend", "set", "d0"),
    "the capacity ‹text› cannot be": plain("backend", "add", "a", "{root}/a", "--capacity", "much"),
    "rate cannot be ‹text›": plain("backend", "add", "a", "{root}/a", "--rate", "fast"),
    "capacity must be at least one": plain("backend", "add", "a", "{root}/a", "--capacity", "0"),
    "must be a positive number": plain("backend", "add", "a", "{root}/a", "--weight", "0"),
    "nothing here opens": plain("backend", "add", "a", "gopher://x/y"),
    "names no server": plain("backend", "add", "a", "webdav:///x"),
    "has a path that no folder has": plain("backend", "add", "a", "webdav://host/a/../b"),
    "may hold no user": plain("backend", "add", "a", f"webdavs://me:{SECRET}@host/x"),
    "is not on Google Drive": plain("backend", "login", "d0"),
    "a login needs a client": plain("backend", "login", "gdrive://folder"),
    "names a folder, and --new-folder": plain(
        "backend", "login", "gdrive://x", "--new-folder", "models"
    ),
    "is no client for programs": plain("backend", "login", "gdrive://x", "--client", "{file}"),
    "name the client's file": plain("backend", "login", "gdrive://x", "--client", "{root}/none"),
    "--device and --all-files": _two_ways_to_log_in,
    "--join takes a store as it is": plain("init", "--join", "--erasure", "2+1"),
    "--join needs --backend": plain("init", "--join", "--store", "{root}/new"),
    "nowhere to look for a store": _join(),
    "are the store's: join without": _joined("d0={store}/backends/d0,domain=x"),
    "where is ‹name and URL, for each›?": _joined_elsewhere,
    "nobody said where": _nobody_answers,
    "name those of one store": _two_stores,
    "show the same backend": _joined("{store}/backends/d0", "{store}/backends/d0/"),
    "what was given as": _joined("d1={store}/backends/d0"),
    "nothing of who asks": plain("backend", "add", "a", f"gdrive://me:{SECRET}@folder"),
    "names no node": plain("backend", "add", "a", "ipfs:///x"),
    "names no folder that can be": plain("backend", "add", "a", "ipfs://host/ipfs/x"),
    "names no root": plain("backend", "add", "a", "ipfs+gateway://host/x"),
    "so one of IPFS holds no": plain("backend", "add", "a", f"ipfs://me:{SECRET}@host/x"),
    "cannot be reached": plain("backend", "add", "a", "webdav://127.0.0.1:1/x"),
    "is not on this host": plain("backend", "add", "a", "file://elsewhere/x"),
    "names no directory": plain("backend", "add", "a", "file://"),
    "‹name› cannot name a backend": plain("backend", "add", "a b", "{root}/a"),
    "is not valid UTF-8 and cannot stand": _text_that_is_not_utf8,
    "keeps nothing when": plain("backend", "add", "a", "memory://x"),
    "URL or domain is not valid UTF-8": _marker_that_cannot_be(1, "\udcff"),
    "backends are too many": _marker_that_cannot_be(20_000, "d0"),
    # In the way
    "belongs to another store; join": _joined_over_another,
    "no backend shows which store": _joined("{root}/none"),
}
