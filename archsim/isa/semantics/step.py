"""Programs made ready for values: each static instruction with its function, format and operand kinds."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

from archsim.isa.formats import Format, by_channel
from archsim.isa.loops import match_loops
from archsim.isa.opcodes import OPCODES, Opcode
from archsim.isa.operands import ADDR, GP
from archsim.isa.program import Instruction, Program
from archsim.isa.semantics.shape import Shape
from archsim.isa.semantics.state import Call

Registers: TypeAlias = tuple[tuple[int, int], ...]


class Step:
    """One static instruction."""

    __slots__ = (
        "bases", "by_channel", "format", "front", "function", "index", "integers", "jump", "line", "mnemonic", "values",
    )  # fmt: skip

    def __init__(self, index: int, instruction: Instruction, shape: Shape) -> None:
        opcode = instruction.opcode
        self.index = index
        self.line = instruction.line
        self.mnemonic = opcode.mnemonic
        self.values = instruction.values
        self.front = opcode.unit == "front"
        self.function = function_of(opcode.mnemonic)
        self.integers, self.bases = _registers(opcode, instruction.values)
        self.format: Format | None = None
        self.by_channel = False
        """A transfer whose scale blocks lie along channels."""
        if opcode.unit == "dma" or opcode.mnemonic == "K_STORE":
            self.format = shape.formats.of(opcode.mnemonic, instruction.values, self.place)
            self.by_channel = by_channel(opcode.mnemonic, instruction.values)
        self.jump = 0
        """Step behind the other end of the loop."""

    @property
    def place(self) -> str:
        """Where the instruction stands, for messages."""
        return f"instruction {self.index} ({self.mnemonic}" + (f", line {self.line})" if self.line else ")")

    def arguments(self, gp: list[int | Call], bases: list[int]) -> list[Any]:
        """Values of the operands, from the registers as they are; a Call where a result is still to come."""
        out: list[Any] = [*self.values]
        for place, register in self.integers:
            out[place] = gp[register]
        if self.bases:
            for place, register in self.bases:
                out[place] = bases[register]
        return out


@functools.cache
def function_of(mnemonic: str) -> Callable[..., Any]:
    """The function that the opcode table names, loaded on first use."""
    module, _, name = OPCODES[mnemonic].semantics.partition(".")
    function: Callable[..., Any] = getattr(importlib.import_module(f"archsim.isa.semantics.{module}"), name)
    return function


def prepare(program: Program, shape: Shape) -> list[Step]:
    """Every instruction made ready; raises AssemblyError for loops that do not balance, TraceError for formats."""
    steps = [Step(index, instruction, shape) for index, instruction in enumerate(program.instructions)]
    for start, end in match_loops(program.instructions, program.where).items():
        steps[start].jump, steps[end].jump = end + 1, start + 1
    return steps


def _registers(opcode: Opcode, values: tuple[int, ...]) -> tuple[Registers, Registers]:
    """(operand, register) of the gp registers that are read, and of the address registers."""
    read = [(o.kind, place, values[place]) for place, o in enumerate(opcode.operands) if o.reads]
    return (
        tuple((place, register) for kind, place, register in read if kind == GP),
        tuple((place, register) for kind, place, register in read if kind == ADDR),
    )
