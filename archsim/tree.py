"""Parsed tables to trees of frozen attrs classes and back, refusing whatever is not meant.

A table of the file is an attrs class, a key is a field. Integers, booleans, numbers and texts are taken
as they are, never converted into each other; fields of type `Ps`, `Bytes`, `Hertz` and `BytesPerSecond`
are written with a unit ("8 MiB"). Also understood: `X | None` (absent means None), `tuple[X, ...]`,
`tuple[X, Y]`, `dict[str, X]`, `Literal[...]` and nested attrs classes. TOML has no null: a field that may
be None must have None as its default, or it could not be written back.

A class with a field `source: dict[str, str]` takes notes on where its figures come from, keyed by field
name. Rules between fields belong in `__attrs_post_init__` and raise `BadValue(field, value, expected)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter

from archsim import units
from archsim.errors import ConfigError
from archsim.validate import BadValue, nearest

T = TypeVar("T")
Table = dict[str, Any]


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()
"""What a ConfigError has found where a required key is absent."""


def load_tree(cls: type[T], data: Table, where: str) -> T:
    """Build `cls` from a parsed file; `where` (the file's name) opens every message.

    Raises ConfigError with the dotted path of the key, what stands there, and what would be accepted.
    """
    try:
        return _CONVERTER.structure(data, cls)
    except ConfigError as error:
        path = f"{where}: {error.path}" if error.path else where
        raise ConfigError(path, error.found, error.expected) from None


def dump_tree(tree: object) -> Table:
    """Give the table of every field of `tree`, defaults included, such that loading it gives `tree` again."""
    table: Table = _CONVERTER.unstructure(tree)
    return table


# Table to tree. Every hook raises ConfigError with a path relative to its own value; the caller prefixes.


def _below(name: str, error: ConfigError) -> ConfigError:
    dot = "" if not error.path or error.path.startswith("[") else "."
    return ConfigError(f"{name}{dot}{error.path}", error.found, error.expected)


def _structure_attrs(data: Any, cls: type[Any]) -> Any:
    if not isinstance(data, dict):
        raise ConfigError("", data, "a table")
    fields = _fields(cls)
    for key, value in data.items():
        if key not in fields:
            raise ConfigError(key, value, f"a known key; {nearest(key, fields)}")
    values = {name: _structure_at(name, data[name], field.type) for name, field in fields.items() if name in data}
    for name, field in fields.items():
        if name not in data and field.default is attrs.NOTHING:
            raise ConfigError(name, MISSING, "a value, for this key has no default")
    _check_source(values.get("source"), fields)
    return _construct(cls, fields, values, data)


def _fields(cls: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    attrs.resolve_types(cls)  # annotations are texts until now
    return {field.alias or field.name: field for field in attrs.fields(cls) if field.init}


def _check_source(notes: object, fields: dict[str, attrs.Attribute[Any]]) -> None:
    for key, note in notes.items() if isinstance(notes, dict) else ():
        if key not in fields:
            raise ConfigError(f"source.{key}", note, f"the name of a key of this table; {nearest(key, fields)}")


def _construct(cls: type[Any], fields: dict[str, attrs.Attribute[Any]], values: Table, data: Table) -> Any:
    try:
        return cls(**values)
    except BadValue as error:
        raise ConfigError(error.name, data.get(error.name, error.found), error.expected) from None
    except (ValueError, TypeError) as error:
        name = _culprit(fields, values)
        if isinstance(error, TypeError) and not name:
            raise  # no validator said so: a mistake in the class, not in the file
        raise ConfigError(name, data.get(name, data), str(error.args[0] if error.args else error)) from error


def _culprit(fields: dict[str, attrs.Attribute[Any]], values: Table) -> str:
    """Name of the field whose validator refuses; "" where it is a rule between fields."""
    stand_in = SimpleNamespace(**values)
    for name, value in values.items():
        check: Callable[..., Any] | None = fields[name].validator
        try:
            if check is not None:
                check(stand_in, fields[name], value)
        except (ValueError, TypeError):
            return name
        except AttributeError:  # it compares with a field that the file left out: not judged alone
            continue
    return ""


def _structure_int(value: Any, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError("", value, "a whole number")
    return value


def _structure_float(value: Any, _: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ConfigError("", value, "a number")
    return float(value)


def _structure_bool(value: Any, _: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("", value, "true or false")
    return value


def _structure_str(value: Any, _: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("", value, "text in quotes")
    return value


def _structure_literal(value: Any, literal: Any) -> Any:
    choices = get_args(literal)
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise ConfigError("", value, f"one of {', '.join(map(repr, choices))}")
    return value


def _structure_tuple(value: Any, kind: Any) -> tuple[Any, ...]:
    parts = get_args(kind)
    if not isinstance(value, list | tuple):
        raise ConfigError("", value, "an array")
    if len(parts) == 2 and parts[1] is Ellipsis:
        parts = (parts[0],) * len(value)
    if len(parts) != len(value):
        raise ConfigError("", value, f"an array of {len(parts)}")
    return tuple(_structure_at(f"[{i}]", item, part) for i, (item, part) in enumerate(zip(value, parts, strict=True)))


def _structure_dict(value: Any, kind: Any) -> Table:
    if not isinstance(value, dict):
        raise ConfigError("", value, "a table")
    part = get_args(kind)[1]
    return {key: _structure_at(key, item, part) for key, item in value.items()}


def _structure_at(name: str, value: Any, kind: Any) -> Any:
    try:
        return _CONVERTER.structure(value, kind)
    except ConfigError as error:
        raise _below(name, error) from None


# Tree to table.


def _unstructure_attrs(tree: Any) -> Table:
    table = {}
    for name, field in _fields(type(tree)).items():
        value = getattr(tree, field.name)
        if value is not None and not (name == "source" and value == {}):
            table[name] = _CONVERTER.unstructure(value, unstructure_as=field.type)
    return table


def _quantity(parse: Callable[[object, str], int]) -> Callable[[Any, Any], int]:
    return lambda value, _: parse(value, "")


def _has_origin(origin: object) -> Callable[[Any], bool]:
    return lambda kind: bool(get_origin(kind) == origin)


def _make_converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook_func(attrs.has, _structure_attrs)
    converter.register_unstructure_hook_func(attrs.has, _unstructure_attrs)
    converter.register_structure_hook_func(_has_origin(tuple), _structure_tuple)
    converter.register_structure_hook_func(_has_origin(dict), _structure_dict)
    converter.register_structure_hook_func(_has_origin(Literal), _structure_literal)
    converter.register_structure_hook(int, _structure_int)
    converter.register_structure_hook(float, _structure_float)
    converter.register_structure_hook(bool, _structure_bool)
    converter.register_structure_hook(str, _structure_str)
    for kind, parse, text in (
        (units.Ps, units.parse_time, units.format_time),
        (units.Bytes, units.parse_size, units.format_size),
        (units.Hertz, units.parse_frequency, units.format_frequency),
        (units.BytesPerSecond, units.parse_bandwidth, units.format_bandwidth),
    ):
        converter.register_structure_hook(kind, _quantity(parse))
        converter.register_unstructure_hook(kind, text)
    return converter


_CONVERTER = _make_converter()
