"""Quantities: integers inside (ps, cycles, bytes), text such as "1 GHz" or "8 MiB" at the border.

Nothing in the simulator holds a float time. A quantity in a machine file is a string with a unit;
`parse_*` turns it into an exact integer and refuses what is not whole, `format_*` turns it back.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NewType

from archsim.errors import ConfigError

Ps = NewType("Ps", int)
"""A time or duration in integer picoseconds."""
Bytes = NewType("Bytes", int)
"""A size in bytes."""
Hertz = NewType("Hertz", int)
"""A frequency in hertz."""
BytesPerSecond = NewType("BytesPerSecond", int)
"""A bandwidth in bytes per second."""

PS_PER_SECOND = 10**12

_TIME = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
_SIZE = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_FREQUENCY = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}
_BANDWIDTH = {f"{unit}/s": factor for unit, factor in _SIZE.items()}


def _parse(text: object, table: dict[str, int], path: str, example: str) -> int:
    known = ", ".join(table)
    expected = f'a quantity such as "{example}" (units: {known})'
    if not isinstance(text, str):
        raise ConfigError(path, text, expected)
    number, _, unit = text.strip().partition(" ")
    unit = unit.strip()
    if unit not in table:
        raise ConfigError(path, text, expected)
    try:
        value = Fraction(number.replace("_", "")) * table[unit]
    except (ValueError, ZeroDivisionError):
        raise ConfigError(path, text, expected) from None
    if value.denominator != 1 or value < 0:
        raise ConfigError(path, text, f"a whole, non-negative number of {next(iter(table))}")
    return int(value)


def parse_time(text: object, path: str = "time") -> Ps:
    """Read a duration such as "1250 ps" or "3.9 us"; raises ConfigError."""
    return Ps(_parse(text, _TIME, path, "1250 ps"))


def parse_size(text: object, path: str = "size") -> Bytes:
    """Read a size such as "8 MiB"; raises ConfigError."""
    return Bytes(_parse(text, _SIZE, path, "8 MiB"))


def parse_frequency(text: object, path: str = "frequency") -> Hertz:
    """Read a frequency such as "1 GHz"; raises ConfigError."""
    return Hertz(_parse(text, _FREQUENCY, path, "1 GHz"))


def parse_bandwidth(text: object, path: str = "bandwidth") -> BytesPerSecond:
    """Read a bandwidth such as "819.2 GB/s"; raises ConfigError."""
    return BytesPerSecond(_parse(text, _BANDWIDTH, path, "819.2 GB/s"))


def period_ps(frequency: int, path: str = "clock") -> Ps:
    """Clock period in whole picoseconds; raises ConfigError where it is not whole."""
    if frequency <= 0 or PS_PER_SECOND % frequency:
        raise ConfigError(path, format_frequency(frequency), "a frequency whose period is a whole number of ps")
    return Ps(PS_PER_SECOND // frequency)


def _format(value: int, table: dict[str, int]) -> str:
    for unit, factor in sorted(table.items(), key=lambda item: -item[1]):
        if value >= factor and value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value} {next(iter(table))}"


def format_time(value: int) -> str:
    """Exact text of a duration; `parse_time` reads it back."""
    return _format(value, _TIME)


def format_size(value: int) -> str:
    """Exact text of a size; `parse_size` reads it back."""
    return _format(value, _SIZE)


def format_frequency(value: int) -> str:
    """Exact text of a frequency; `parse_frequency` reads it back."""
    return _format(value, _FREQUENCY)


def format_bandwidth(value: int) -> str:
    """Exact, shortest text of a bandwidth, such as "819.2 GB/s"; `parse_bandwidth` reads it back."""
    units = sorted((item for item in _BANDWIDTH.items() if item[1] <= value), key=lambda item: -item[1])
    texts = [f"{_decimal(value, factor)} {unit}" for unit, factor in units]
    return min(texts, key=len, default="0 B/s")


def _decimal(value: int, factor: int) -> str:
    """`value / factor` in full; every unit's factor divides a power of ten, so the digits end."""
    whole, rest = divmod(value, factor)
    digits = ""
    while rest:
        digit, rest = divmod(10 * rest, factor)
        digits += str(digit)
    return f"{whole}.{digits}" if digits else str(whole)


def human_time(ps: int) -> str:
    """A duration for people, about four digits: "5.512 ms"."""
    for unit in ("s", "ms", "us", "ns"):
        if ps >= _TIME[unit]:
            return f"{ps / _TIME[unit]:.4g} {unit}"
    return f"{ps} ps"


def human_bytes(value: int) -> str:
    """A size for people: "3.98 GB"."""
    for unit in ("GB", "MB", "kB"):
        if value >= _SIZE[unit]:
            return f"{value / _SIZE[unit]:.4g} {unit}"
    return f"{value} B"
