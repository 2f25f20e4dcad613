"""The header as one line of JSON, and back with every field checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from archsim.errors import TraceError
from archsim.isa.formats import FORMATS
from archsim.isa.program import FORMAT_VERSION, Header, PhaseInfo
from archsim.validate import nearest

FORMAT_ROLES = ("weights", "kv", "activations", "vector_hbm")
"""What the header may name a number format for."""


class _Unfit(Exception):
    """A field's value has the wrong form; the text says what was expected."""


def header_text(header: Header) -> str:
    """One line of ASCII JSON, keys sorted: equal headers give equal text.

    Raises TraceError where a field holds something that JSON cannot, such as NaN or an object.
    """
    try:
        return json.dumps(attrs.asdict(header), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TraceError(f"header of {header.name or 'program'}: {error}; expected plain JSON values") from None


def parse_header(text: str, where: str) -> Header:
    """Read what `header_text` wrote; raises TraceError naming `where` and the field."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{where}: header: {error}; expected one JSON object") from None
    if not isinstance(found, dict):
        raise TraceError(f"{where}: header: {_short(found)}; expected one JSON object")
    return _header(found, where)


def _header(found: dict[str, Any], where: str) -> Header:
    version = found.get("format_version")
    if version != FORMAT_VERSION:
        raise TraceError(f"{where}: header.format_version: {_short(version)}; expected {FORMAT_VERSION}")
    fields: dict[str, Any] = {}
    for name, value in found.items():
        read = _FIELDS.get(name)
        if read is None:
            raise TraceError(f"{where}: header.{name}: unknown; expected a header field ({nearest(name, _FIELDS)})")
        try:
            fields[name] = read(value)
        except _Unfit as unfit:
            raise TraceError(f"{where}: header.{name}: {_short(value)}; expected {unfit}") from None
    header = Header(**fields)
    if len(header.int_mem) not in (0, 1, header.cores):
        images = len(header.int_mem)
        raise TraceError(f"{where}: header.int_mem: {images} images; expected none, one, or {header.cores} (cores)")
    return header


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(accepts: Callable[[Any], bool], expected: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not accepts(value):
            raise _Unfit(expected)
        return value

    return read


def _list_of(accepts: Callable[[Any], bool], expected: str) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not all(map(accepts, value)):
            raise _Unfit(expected)
        return tuple(value)

    return read


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 1


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_int, value))


def _is_work(value: Any) -> bool:
    return _is_object(value) and all(_is_object(v) and all(map(_is_int, v.values())) for v in value.values())


def _is_formats(value: Any) -> bool:
    return _is_object(value) and all(role in FORMAT_ROLES and _is_format(name) for role, name in value.items())


def _is_format(value: object) -> bool:
    return isinstance(value, str) and value in FORMATS


def _is_phase(value: Any) -> bool:
    return _is_object(value) and sorted(value) == ["name", "operator", "step"] and all(map(_is_text, value.values()))


def _phases(value: Any) -> tuple[PhaseInfo, ...]:
    read = _list_of(_is_phase, "a list of objects with the texts name, step and operator")
    return tuple(PhaseInfo(**entry) for entry in read(value))


def _images(value: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(image) for image in _list_of(_is_words, "a list of lists of integers")(value))


_object = _checked(_is_object, "an object")
_records = _list_of(_is_object, "a list of objects")
_count = _checked(_is_count, "a whole number above 0")

_FIELDS: dict[str, Callable[[Any], Any]] = {
    "format_version": _count,
    "name": _checked(_is_text, "a text"),
    "model": _object,
    "schedule": _object,
    "requires": _object,
    "seed": _checked(lambda value: value is None or _is_int(value), "an integer or null"),
    "formats": _checked(_is_formats, f"formats ({', '.join(FORMATS)}) of {', '.join(FORMAT_ROLES)}"),
    "block": _count,
    "cores": _count,
    "phases": _phases,
    "forwards": _records,
    "int_mem": _images,
    "gather_ids": _object,
    "regions": _records,
    "ideal": _checked(_is_work, "an object of objects of integers"),
    "notes": _list_of(_is_text, "a list of texts"),
}
