"""Cycle costs as text: "blen+6/1" is latency/interval, each a sum of INT, SYMBOL or INT*SYMBOL.

The latency is how long one instruction (one row, one tile) takes, the interval how long the unit
is taken before the next row or tile may enter. Without "/interval" the two are equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import attrs

from archsim.errors import ConfigError
from archsim.isa.opcodes import OPCODES
from archsim.validate import nearest

SYMBOLS = ("blen", "mlen", "hlen", "vlen", "len", "log2_mlen")
"""What a formula may name; `len` is known per executed instruction only."""

COST_SETS = ("published", "pipelined")
"""published: the table as it is. pipelined: vector and scalar units take one row a cycle."""

_TERM = re.compile(r"(?:([0-9]{1,9})(?:\*([a-z0-9_]+))?|([a-z0-9_]+))", re.ASCII)
_GRAMMAR = 'a cost such as "4", "blen+6/1" or "3*len" (symbols: ' + ", ".join(SYMBOLS) + ")"


@attrs.frozen
class Linear:
    """A sum: `constant` plus factor x symbol for each of `terms`."""

    constant: int
    terms: tuple[tuple[int, str], ...] = ()

    def value(self, symbols: Mapping[str, int]) -> int:
        """Cycles, given a value for every symbol of the sum."""
        total = self.constant
        for factor, symbol in self.terms:
            total += factor * symbols[symbol]
        return total

    def bind(self, symbols: Mapping[str, int]) -> Linear:
        """Put in the symbols that have a value; the others stay."""
        known = tuple(term for term in self.terms if term[1] in symbols)
        rest = tuple(term for term in self.terms if term[1] not in symbols)
        return Linear(Linear(self.constant, known).value(symbols), rest)

    def __str__(self) -> str:
        words = [symbol if factor == 1 else f"{factor}*{symbol}" for factor, symbol in self.terms]
        if self.constant or not words:
            words.append(str(self.constant))
        return "+".join(words)


@attrs.frozen
class Cost:
    """Latency and interval of one opcode, in cycles, as formulas."""

    latency: Linear
    interval: Linear

    @property
    def needs_len(self) -> bool:
        """Whether the cost depends on the executed instruction's length operand."""
        return any(symbol == "len" for _, symbol in self.latency.terms + self.interval.terms)

    def cycles(self, symbols: Mapping[str, int]) -> tuple[int, int]:
        """(latency, interval) in cycles, given a value for every symbol used."""
        return self.latency.value(symbols), self.interval.value(symbols)

    def bind(self, symbols: Mapping[str, int]) -> Cost:
        """The same cost with the known symbols put in."""
        return Cost(self.latency.bind(symbols), self.interval.bind(symbols))

    def __str__(self) -> str:
        return str(self.latency) if self.latency == self.interval else f"{self.latency}/{self.interval}"


CostEntry: TypeAlias = tuple[int, int] | Cost
"""(latency, interval) in cycles, or a formula in `len` alone."""


def _parse_linear(text: str, whole: str, path: str) -> Linear:
    constant = 0
    terms: dict[str, int] = {}
    for word in text.split("+"):
        match = _TERM.fullmatch(word.strip())
        if match is None:
            raise ConfigError(path, whole, _GRAMMAR)
        number, factor_of, alone = match.groups()
        symbol = factor_of or alone
        if symbol is None:
            constant += int(number)
        elif symbol in SYMBOLS:
            terms[symbol] = terms.get(symbol, 0) + int(number or 1)
        else:
            raise ConfigError(path, whole, _GRAMMAR)
    return Linear(constant, tuple((factor, symbol) for symbol, factor in terms.items()))


def parse_cost(text: object, path: str = "cost") -> Cost:
    """Read "latency" or "latency/interval"; raises ConfigError at `path`."""
    if not isinstance(text, str):
        raise ConfigError(path, text, _GRAMMAR)
    latency, slash, interval = text.partition("/")
    first = _parse_linear(latency, text, path)
    return Cost(first, _parse_linear(interval, text, path) if slash else first)


def cost_symbols(*, blen: int, mlen: int, hlen: int, vlen: int) -> dict[str, int]:
    """The symbols that a machine fixes; mlen is a power of two."""
    return {"blen": blen, "mlen": mlen, "hlen": hlen, "vlen": vlen, "log2_mlen": mlen.bit_length() - 1}


_TABLE = {mnemonic: parse_cost(opcode.cost, f"opcode table, {mnemonic}") for mnemonic, opcode in OPCODES.items()}


def _default(mnemonic: str, cost_set: str) -> Cost:
    cost = _TABLE[mnemonic]
    # An instruction that works through `len` elements one after another cannot take the next one earlier.
    if cost_set == "pipelined" and OPCODES[mnemonic].unit in ("vector", "scalar") and not cost.needs_len:
        return Cost(cost.latency, Linear(1))
    return cost


def _entry(cost: Cost, symbols: Mapping[str, int]) -> CostEntry:
    bound = cost.bind(symbols)
    return bound if bound.needs_len else bound.cycles(symbols)


def cost_table(
    overrides: Mapping[str, str], symbols: Mapping[str, int], cost_set: str = "published"
) -> dict[str, CostEntry]:
    """Cost of every opcode on one machine, in table order.

    `overrides` gives other formulas by mnemonic and wins over `cost_set`. `symbols` is what
    `cost_symbols` returns. Raises ConfigError at "costs.<mnemonic>" for an unknown mnemonic, a bad
    formula, or an interval above the latency, and at "costs.set" for an unknown set.
    """
    if cost_set not in COST_SETS:
        raise ConfigError("costs.set", cost_set, "one of " + ", ".join(COST_SETS))
    for mnemonic, text in overrides.items():
        if mnemonic not in OPCODES:
            raise ConfigError(f"costs.{mnemonic}", text, f"a mnemonic of the opcode table; {_near(mnemonic)}")
    table: dict[str, CostEntry] = {}
    for mnemonic in OPCODES:
        path = f"costs.{mnemonic}"
        given = overrides.get(mnemonic)
        cost = _default(mnemonic, cost_set) if given is None else parse_cost(given, path)
        _check_order(cost, symbols, given, path)
        table[mnemonic] = _entry(cost, symbols)
    return table


def _check_order(cost: Cost, symbols: Mapping[str, int], text: str | None, path: str) -> None:
    for length in (0, 1 << 20):  # both ends: a linear cost that is in order there is so everywhere
        latency, interval = cost.cycles({**symbols, "len": length})
        if interval > latency:
            raise ConfigError(path, text or str(cost), "an interval of at most the latency")


def _near(mnemonic: str) -> str:
    return nearest(mnemonic.upper(), OPCODES)


def cycles_of(entry: CostEntry, length: int) -> tuple[int, int]:
    """(latency, interval) of a `cost_table` entry for an instruction of `length` elements."""
    return entry if isinstance(entry, tuple) else entry.cycles({"len": length})
