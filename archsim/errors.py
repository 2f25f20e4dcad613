"""The error family: one clear line each, naming place, value and expectation."""

from __future__ import annotations


class ArchsimError(Exception):
    """Base of every error a user can cause; `exit_code` is what the command line returns."""

    exit_code = 2


class ConfigError(ArchsimError):
    """A machine file or option holds something impossible.

    `path` is the dotted path of the field, `found` the value, `expected` what would be accepted.
    """

    def __init__(self, path: str, found: object, expected: str) -> None:
        self.path, self.found, self.expected = path, found, expected
        super().__init__(f"{path}: {found!r}; expected {expected}")


class AssemblyError(ArchsimError):
    """Assembly or trace text that cannot be read, with file, line and column (both from 1)."""

    def __init__(self, where: str, line: int, column: int, message: str) -> None:
        self.where, self.line, self.column = where, line, column
        super().__init__(f"{where}:{line}:{column}: {message}")


class EncodingError(ArchsimError):
    """A value does not fit its field of the 32-bit instruction word."""

    def __init__(self, field: str, value: int, bits: int) -> None:
        self.field, self.value, self.bits = field, value, bits
        super().__init__(f"field {field}: {value} does not fit in {bits} bits")


class TraceError(ArchsimError):
    """A trace (program with header) is truncated, corrupt, or made for another machine."""


class WorkloadError(ArchsimError):
    """A model, schedule or lowering request that cannot be met."""


class WiringError(ArchsimError):
    """The machine's graph is incomplete: an unbound port or an unreachable node."""


class MemoryFault(ArchsimError):
    """The running program touched memory it must not: out of map, unaligned, or before a load."""

    exit_code = 1


class ProgramFault(ArchsimError):
    """The running program did something undefined, such as addressing with an unknown integer."""

    exit_code = 1


class DeadlockError(ArchsimError):
    """Nothing can happen any more; `waiting` lists (who, what for, since ps)."""

    exit_code = 1

    def __init__(self, waiting: list[tuple[str, str, int]]) -> None:
        self.waiting = waiting
        lines = "; ".join(f"{who} waits for {what} since {since} ps" for who, what, since in waiting)
        super().__init__(f"deadlock: {lines or 'nothing is waiting, yet the program has not ended'}")
