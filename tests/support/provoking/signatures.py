"""Keys that sign, keys that are trusted, and what they did not sign."""

from modelfloat.tests.support.provoking.scene import (
    HEAD,
    Outcome,
    Provocation,
    Scene,
    config_is,
    plain,
)


def _open_key(scene: Scene) -> Outcome:
    path = scene.root / "key"
    scene("key", "sign", "new", path)
    path.chmod(0o640)
    return scene("key", "sign", "show", path)


def _trusting(scene: Scene, key: str, name: str) -> Outcome:
    """A key is trusted where 64 zeros are, as `ann`."""
    scene("key", "sign", "trust", "0" * 64, "ann")
    return scene("key", "sign", "trust", key, name)


def _trusted_is(scene: Scene, *tables: str) -> Outcome:
    with open(scene.store / "config.toml", "a") as file:
        file.write("".join(f"\n[[trusted]]\n{table}\n" for table in tables))
    return scene("ls")


def _untrusted_ref(scene: Scene) -> Outcome:
    scene("key", "sign", "trust", "0" * 64)
    return scene("ls", "acme/tiny", "--require-signature")


def _pulled_unsigned(scene: Scene) -> Outcome:
    here = scene.root / "here"
    scene("init", store=here)
    scene("key", "sign", "trust", "0" * 64, store=here)
    return scene("pull", "--require-signature", scene.store, "acme/tiny", store=here)


PROVOKED: dict[str, Provocation] = {
    "is no signing key": plain("--sign-key", "{file}", "key", "sign", "refs"),
    "who could sign with it": _open_key,
    "is no public key": lambda s: s.api(lambda store: store.trust("abcd")),
    "cannot name a key": plain("key", "sign", "trust", "0" * 64, "a b"),
    "there is no key to sign by": plain("key", "sign", "refs"),
    "or set `sign_key`": plain("key", "sign", "show"),
    "branches and tags are signed": plain("key", "sign", "check", "acme/tiny/file"),
    "trusts no key": plain("ls", "--require-signature"),
    "is trusted; `modelfloat key sign ls`": plain("key", "sign", "untrust", "ann"),
    "there is no branch or tag ‹address›": plain("key", "sign", "check", "acme/tiny@v2"),
    "and no key is overwritten": plain("key", "sign", "new", "{file}"),
    "that key is trusted already": lambda s: _trusting(s, "0" * 64, "other"),
    "another key is called": lambda s: _trusting(s, "1" * 64, "ann"),
    "tables [[trusted]]": lambda s: config_is(s, f"trusted = 1\n{HEAD}"),
    "`key` must have 64": lambda s: _trusted_is(s, 'name = "a"\nkey = "X"'),
    "has two trusted keys": lambda s: _trusted_is(
        s, f'name = "a"\nkey = "{"0" * 64}"', f'name = "a"\nkey = "{"1" * 64}"'
    ),
    "is not signed, so nothing": _untrusted_ref,
    "‹store›: ‹one of these": _pulled_unsigned,
}
