"""Machine files: read TOML, start from a preset, write TOML; `load_tree` makes typed parameters of it.

`extends = "preset"` at the top of a file starts from a preset of the package and lays the file's tables
over it, key by key. A figure that the file changes loses the preset's `source` note, for the note speaks
of the old figure. What a table may hold is told in `archsim.tree`.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import tomli_w

from archsim.errors import ConfigError
from archsim.tree import MISSING, Table, dump_tree, load_tree
from archsim.validate import nearest

__all__ = ["MISSING", "Table", "dump_tree", "load_tree", "preset_names", "read_preset", "read_toml", "write_toml"]

PRESETS: Traversable = files("archsim") / "presets"


def read_toml(path: str | Path) -> Table:
    """Parse a machine file and merge it over the preset it extends; raises ConfigError."""
    return _read(Path(path), str(path), ())


def read_preset(name: str) -> Table:
    """Parse the preset `name` of the package; raises ConfigError, naming the nearest preset."""
    _check_preset(name, "machine")
    return _read(_preset_file(name), f"{name}.toml", (name,))


def preset_names() -> list[str]:
    """Names of the presets of the package, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in PRESETS.iterdir() if entry.name.endswith(".toml"))


def write_toml(table: Table) -> str:
    """Text of a TOML file that holds `table`."""
    return tomli_w.dumps(table)


def _read(file: Path | Traversable, where: str, seen: tuple[str, ...]) -> Table:
    data = _parse(file, where)
    if "extends" not in data:
        return data
    name = data.pop("extends")
    place = f"{where}: extends"
    _check_preset(name, place)
    if name in seen:
        raise ConfigError(place, name, "a preset that does not lead back to itself")
    return _merge(_read(_preset_file(name), f"{name}.toml", (*seen, name)), data)


def _parse(file: Path | Traversable, where: str) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(where, error.strerror, "a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(where, str(error), "valid TOML") from None


def _preset_file(name: str) -> Traversable:
    return PRESETS / f"{name}.toml"


def _check_preset(name: object, place: str) -> None:
    known = preset_names()
    if not isinstance(name, str):
        raise ConfigError(place, name, "the name of a preset, as text")
    if name not in known:
        raise ConfigError(place, name, f"a preset; {nearest(name, known)}")


def _merge(base: Table, over: Table) -> Table:
    """Lay `over` on `base`: tables key by key, everything else replaced, stale source notes dropped."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merge(below, value)
        merged[key] = value
    notes = base.get("source")
    if isinstance(notes, dict) and isinstance(merged["source"], dict):
        changed = {key for key in notes if key in over and merged[key] != base.get(key)}
        stale = changed - set(over.get("source", {}))
        merged["source"] = {key: note for key, note in merged["source"].items() if key not in stale}
    return merged
