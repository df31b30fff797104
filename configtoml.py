"""A store's configuration as TOML.

    [store]
    id = "2f…"                  32 hex digits: the store id, as in every backend's marker
    erasure = "4+2"             the scheme of new packs
    encrypted = true            optional: what backends hold of it is encrypted

    [settings]                  optional: what commands do unless told otherwise
    wait = false                names and values as `modelfloat config` lists them

    [[backend]]                 one for each backend
    name = "d0"
    url = "/disk1/modelfloat"
    uuid = "91…"                32 hex digits: the backend's own UUID, as in its marker
    domain = "disk1"            optional: what fails together with it
    weight = 1.0                optional: its share of new shards, relative to the others
    capacity = 500000000000     optional: bytes of shards that it may hold
    state = "draining"          optional: "draining" or "read-only", where it gets no new shards
    conditional_put = true      optional: what a probe found when it was added
    rate = "10/s:20"            optional: how much may be asked of it, as `rate.changed` reads it

    [[trusted]]                 optional: one for each key whose signatures of refs are believed
    name = "release"
    key = "d7…"                 64 hex digits: the public key

Whatever this release does not know in it is refused: rewriting would lose it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .errors import FormatError, UsageError
from .ids import UUID_SIZE, BackendId, PublicKey, StoreId
from .storeconfig import (
    STATES,
    BackendConfig,
    Scalar,
    StoreConfig,
    check_backend_name,
    check_capacity,
    check_rate,
    check_trusted_name,
    check_weight,
)

_SETTING: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * UUID_SIZE}}}")
_PUBLIC_KEY: Final = re.compile("[0-9a-f]{64}")
_TOP_KEYS: Final = frozenset({"store", "settings", "backend", "trusted"})
_STORE_KEYS: Final = frozenset({"id", "erasure", "encrypted"})
_BACKEND_KEYS: Final = frozenset(
    {"name", "url", "uuid", "domain", "weight", "capacity", "state", "conditional_put", "rate"}
)
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def encode_config(config: StoreConfig) -> bytes:
    """The file's bytes."""
    lines = ["[store]", f'id = "{config.id.hex()}"', f"erasure = {_quote(config.scheme)}"]
    if config.encrypted:
        lines.append("encrypted = true")
    if config.settings:
        settings = (f"{key} = {_scalar(value)}" for key, value in config.settings.items())
        lines += ["", "[settings]", *settings]
    for backend in config.backends:
        lines += ["", "[[backend]]", f"name = {_quote(backend.name)}"]
        lines += [f"url = {_quote(backend.url)}", f'uuid = "{backend.id.hex()}"']
        if backend.domain is not None:
            lines.append(f"domain = {_quote(backend.domain)}")
        lines.append(f"weight = {float(backend.weight)!r}")
        if backend.capacity is not None:
            lines.append(f"capacity = {backend.capacity}")
        if backend.state is not None:
            lines.append(f"state = {_quote(backend.state)}")
        if backend.conditional_put is not None:
            lines.append(f"conditional_put = {_scalar(backend.conditional_put)}")
        if backend.rate is not None:
            lines.append(f"rate = {_quote(backend.rate)}")
    for key, name in config.trusted.items():
        lines += ["", "[[trusted]]", f"name = {_quote(name)}", f'key = "{key.hex()}"']
    return "\n".join([*lines, ""]).encode()


def _scalar(value: Scalar) -> str:
    """A setting's value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quote(value) if isinstance(value, str) else repr(value)


def _quote(text: str) -> str:
    """`text` as a TOML basic string."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{text!r} is not valid UTF-8 and cannot stand in the configuration"
        ) from None
    return '"' + "".join(_ESCAPES.get(c) or _escape_control(c) for c in text) + '"'


def _escape_control(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x20 or ord(char) == 0x7F else char


def decode_config(document: Mapping[str, Any], path: str) -> StoreConfig:
    """What the document that was read from `path` says; FormatError where it cannot be."""
    _refuse_unknown(document, _TOP_KEYS, path, "")
    store, tables = document.get("store"), document.get("backend", [])
    if not isinstance(store, dict):
        raise FormatError(f"{path} has no table [store]: it is no store's configuration")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FormatError(f"{path}: backends stand in tables [[backend]], in double brackets")
    _refuse_unknown(store, _STORE_KEYS, path, "store.")
    backends = tuple(_decode_backend(table, path) for table in tables)
    check_backends(backends, path)
    id_ = StoreId(_uuid(store, "id", path, "[store]"))
    settings = _settings(document.get("settings", {}), path)
    encrypted = store.get("encrypted", False)
    if not isinstance(encrypted, bool):
        raise FormatError(f"{path}, [store]: `encrypted` must be true or false")
    scheme, trusted = _text(store, "erasure", path, "[store]"), _trusted(document, path)
    return StoreConfig(id_, scheme, backends, settings, encrypted, trusted)


def _trusted(document: Mapping[str, Any], path: str) -> dict[PublicKey, str]:
    tables = document.get("trusted", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FormatError(f"{path}: trusted keys stand in tables [[trusted]], in double brackets")
    found: dict[PublicKey, str] = {}
    for table in tables:
        _refuse_unknown(table, frozenset({"name", "key"}), path, "trusted.")
        text, name = (_text(table, key, path, "[[trusted]]") for key in ("key", "name"))
        if _PUBLIC_KEY.fullmatch(text) is None:
            raise FormatError(
                f"{path}, [[trusted]]: `key` must have 64 digits, as `modelfloat key sign show` "
                "tells them"
            )
        key = PublicKey(bytes.fromhex(text))
        if key in found or name in found.values():
            raise FormatError(f"{path} has two trusted keys {name}; remove one of them")
        found[key] = _trusted_name(name, path)
    return found


def _trusted_name(name: str, path: str) -> str:
    try:
        return check_trusted_name(name)
    except UsageError as error:
        raise FormatError(f"{path}: {error}") from None


def _settings(table: Any, path: str) -> dict[str, Scalar]:
    if not isinstance(table, dict):
        raise FormatError(f"{path}: settings stand in a table [settings], in single brackets")
    for key, value in table.items():
        if _SETTING.fullmatch(key) is None or not isinstance(value, Scalar):
            raise FormatError(
                f"{path}, [settings]: {key} must be a name with text, a number, true or false"
            )
    return table


def _decode_backend(table: Mapping[str, Any], path: str) -> BackendConfig:
    _refuse_unknown(table, _BACKEND_KEYS, path, "backend.")
    name = _text(table, "name", path, "[[backend]]")
    where = f"backend {name}"
    weight = table.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise FormatError(f"{path}, {where}: `weight` must be a number")
    capacity = table.get("capacity")
    if isinstance(capacity, bool) or not isinstance(capacity, int | None):
        raise FormatError(f"{path}, {where}: `capacity` must be a whole number of bytes")
    conditional_put = table.get("conditional_put")
    if not isinstance(conditional_put, bool | None):
        raise FormatError(f"{path}, {where}: `conditional_put` must be true or false")
    return BackendConfig(
        name,
        _text(table, "url", path, where),
        BackendId(_uuid(table, "uuid", path, where)),
        _text(table, "domain", path, where) if "domain" in table else None,
        float(weight),
        capacity,
        _state(table, path, where),
        conditional_put,
        _text(table, "rate", path, where) if "rate" in table else None,
    )


def _state(table: Mapping[str, Any], path: str, where: str) -> str | None:
    if "state" not in table:
        return None
    state = _text(table, "state", path, where)
    if state not in STATES:
        raise FormatError(f"{path}, {where}: `state` must be {' or '.join(STATES)}, not {state}")
    return state


def check_backends(backends: Sequence[BackendConfig], path: str) -> None:
    """FormatError where one cannot be, or where a name or a UUID is there twice: two names of one
    place would count as two copies."""
    names: set[str] = set()
    ids: dict[BackendId, str] = {}
    for backend in backends:
        try:
            check_backend_name(backend.name)
            check_weight(backend.weight)
            if backend.capacity is not None:
                check_capacity(backend.capacity)
            if backend.rate is not None:
                check_rate(backend.rate)
        except UsageError as error:
            raise FormatError(f"{path}: {error}") from None
        if backend.name in names:
            raise FormatError(f"{path} has two backends named {backend.name}; rename one")
        if backend.id in ids:
            raise FormatError(
                f"{path}: {ids[backend.id]} and {backend.name} are one backend (UUID "
                f"{backend.id.hex()}); remove one of them"
            )
        names.add(backend.name)
        ids[backend.id] = backend.name


def _refuse_unknown(table: Mapping[str, Any], known: frozenset[str], path: str, where: str) -> None:
    unknown = sorted(where + key for key in set(table) - known)
    if unknown:
        raise FormatError(
            f"{path} has {', '.join(unknown)}, which this release does not know; remove it, or use "
            "the release that wrote it"
        )


def _text(table: Mapping[str, Any], key: str, path: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise FormatError(f'{path}, {where}: `{key}` must be there and be text: {key} = "…"')
    return value


def _uuid(table: Mapping[str, Any], key: str, path: str, where: str) -> bytes:
    text = _text(table, key, path, where)
    if _HEX.fullmatch(text) is None:
        raise FormatError(f"{path}, {where}: `{key}` must be {2 * UUID_SIZE} lower-case hex digits")
    return bytes.fromhex(text)
