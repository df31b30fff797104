"""What cannot be read of config.toml, of a marker, of an index that a newer release wrote."""

from modelfloat.tests.support.provoking.scene import (
    HEAD,
    Outcome,
    Provocation,
    Scene,
    config_is,
    config_that_says,
)


def _newer_index(scene: Scene) -> Outcome:
    import lmdb

    with lmdb.open(str(scene.store / "index"), max_dbs=32) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as txn:
            txn.put(b"format", b"99")
    return scene("ls")


def _newer(command: str, **fields: object) -> Provocation:
    def provoke(scene: Scene) -> Outcome:
        scene.marker(**fields)
        places = {"file": scene.file, "root": scene.root}
        return scene(*(part.format(**places) for part in command.split()))

    return provoke


def _newer_marker(scene: Scene) -> Outcome:
    from modelfloat.backends.marker import decode

    scene.marker(format=9)
    data = (scene.store / "backends/d0/modelfloat.json").read_bytes()
    return scene.raised(lambda: decode(data, "d0"))


def _with_settings(scene: Scene, line: str) -> Outcome:
    path = scene.store / "config.toml"
    path.write_text(f"{path.read_text()}\n[settings]\n{line}\n")
    return scene("ls")


def _one_uuid(scene: Scene) -> Outcome:
    config = (scene.store / "config.toml").read_text().split('uuid = "')
    second = config[1][:32] + config[2][32:]
    return config_is(scene, 'uuid = "'.join([*config[:2], second, *config[3:]]))


def _marker_forbids(scene: Scene) -> Outcome:
    import trio

    from modelfloat.backends.local import LocalBackend
    from modelfloat.backends.marker import decode, write_marker

    scene.marker(ro_compat=1 << 31)
    path = scene.store / "backends/d0/modelfloat.json"
    marker, backend = decode(path.read_bytes(), "d0"), LocalBackend("d0", str(path.parent))

    async def write() -> None:
        await write_marker(backend, marker, new=False)

    return scene.raised(lambda: trio.run(write))


PROVOKED: dict[str, Provocation] = {
    "is not valid TOML": config_that_says("[store]", "[store"),
    "has no table [store]": lambda s: config_is(s, "[settings]\n"),
    "tables [[backend]]": lambda s: config_is(s, f"backend = 1\n{HEAD}"),
    "a table [settings], in": lambda s: config_is(s, f"settings = 1\n{HEAD}"),
    "[store]: `encrypted`": lambda s: config_is(
        s, HEAD + 'encrypted = "yes"\n[settings]\nmount = 1\n'
    ),
    "[settings]: ‹key›": lambda s: config_is(s, f"{HEAD}[settings]\nmount = []\n"),
    "`weight` must be a number": config_that_says("weight = 1.0", 'weight = "1"'),
    "`state` must be": config_that_says("weight = 1.0", 'state = "up"'),
    "must be there and be text": config_that_says('url = "', "url = 1 #"),
    "lower-case hex digits": config_that_says('uuid = "', 'uuid = "X'),
    "has two backends named": config_that_says('name = "d1"', 'name = "d0"'),
    "are one backend": _one_uuid,
    "which this release does not know": config_that_says("[store]", "[store]\nshade = 1"),
    "which is no setting": lambda s: _with_settings(s, "wiat = 1"),
    "`capacity` must be a whole": config_that_says("weight = 1.0", "capacity = 1.5"),
    "`conditional_put` must be": config_that_says("weight = 1.0", "conditional_put = 1"),
    "‹file or place›: ‹reason›": config_that_says("weight = 1.0", "weight = 0"),
    "has format ‹number›, this release": _newer_index,
    "wrote its marker": _newer_marker,
    "from writing; upgrade": _newer("add {file} acme/tiny", ro_compat=1 << 31),
    "from writing (features": _marker_forbids,
}
