"""attrs validators shared by every parameter class.

Each refuses a value with `BadValue`, a ValueError that carries the field's name, the value and what
would be accepted; `archsim.config` turns it into a ConfigError that also names the file and section.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import attrs

Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]
"""What attrs calls: (instance, attribute, value)."""


class BadValue(ValueError):
    """A field holds an impossible value: `name`, `found` and `expected` say which and why."""

    def __init__(self, name: str, found: object, expected: str) -> None:
        self.name, self.found, self.expected = name, found, expected
        super().__init__(f"{name}: {found!r}; expected {expected}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Text that helps someone who misspelt `name`: the closest known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of {', '.join(names)}" if names else "there is none"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def positive(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept integers above zero; raises BadValue."""
    if not _is_integer(value) or value <= 0:
        raise BadValue(attribute.name, value, "a whole number above 0")


def power_of_two(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept 1, 2, 4, 8, ...; raises BadValue."""
    if not _is_integer(value) or value <= 0 or value & (value - 1):
        raise BadValue(attribute.name, value, "a power of two (1, 2, 4, ...)")


def at_least(minimum: int) -> Validator:
    """Make a validator that accepts integers from `minimum` up; it raises BadValue."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not _is_integer(value) or value < minimum:
            raise BadValue(attribute.name, value, f"a whole number, at least {minimum}")

    return check


def within(minimum: int, maximum: int) -> Validator:
    """Make a validator that accepts integers of a range, both ends included; it raises BadValue."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not _is_integer(value) or not minimum <= value <= maximum:
            raise BadValue(attribute.name, value, f"a whole number from {minimum} to {maximum}")

    return check


def one_of(*choices: str) -> Validator:
    """Make a validator that accepts the given words; it raises BadValue, naming the nearest."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in choices:
            raise BadValue(attribute.name, value, _one_of_text(value, choices))

    return check


def _one_of_text(value: object, choices: tuple[str, ...]) -> str:
    words = ", ".join(repr(choice) for choice in choices)
    close = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"one of {words}" + (f" (did you mean {close[0]!r}?)" if close else "")
