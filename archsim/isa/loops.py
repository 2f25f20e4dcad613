"""Which C_LOOP_END belongs to which C_LOOP_START."""

from __future__ import annotations

from collections.abc import Sequence

from archsim.errors import AssemblyError
from archsim.isa.program import Instruction

LOOP_STARTS = ("C_LOOP_START", "C_LOOP_START_R")
LOOP_END = "C_LOOP_END"


def match_loops(instructions: Sequence[Instruction], where: str = "<program>") -> dict[int, int]:
    """Index of each loop's end by index of its start; loops nest, and each counts in one register.

    Raises AssemblyError, at the line of the offending instruction, for an end without a start, a
    start without an end, and an end that names another register than its start.
    """
    pairs: dict[int, int] = {}
    begun: list[int] = []
    for index, instruction in enumerate(instructions):
        mnemonic = instruction.opcode.mnemonic
        if mnemonic in LOOP_STARTS:
            begun.append(index)
        elif mnemonic == LOOP_END:
            pairs[_start_of(instruction, instructions, begun, where)] = index
    if begun:
        start = instructions[begun[-1]]
        message = f"{start.opcode.mnemonic} gp{start.values[0]} has no end; expected C_LOOP_END after it"
        raise AssemblyError(where, start.line, 1, message)
    return pairs


def executed(instructions: Sequence[Instruction], pairs: dict[int, int]) -> int | None:
    """Instructions that a run executes, given each loop's end by its start; None where trips are in registers."""
    total, trips, ends = 0, [1], []
    for index, instruction in enumerate(instructions):
        total += trips[-1]
        if index in pairs:
            if instruction.opcode.mnemonic != "C_LOOP_START":
                return None
            trips.append(trips[-1] * instruction.values[1])
            ends.append(pairs[index])
        elif ends and index == ends[-1]:
            ends.pop()
            trips.pop()
    return total


def _start_of(end: Instruction, instructions: Sequence[Instruction], begun: list[int], where: str) -> int:
    counter = end.values[0]
    if not begun:
        raise AssemblyError(where, end.line, 1, f"C_LOOP_END gp{counter} ends no loop; expected C_LOOP_START before it")
    start = instructions[begun[-1]]
    if start.values[0] != counter:
        expected = f"expected its register gp{start.values[0]}"
        message = f"C_LOOP_END gp{counter} ends the loop begun in line {start.line}; {expected}"
        raise AssemblyError(where, end.line, 1, message)
    return begun.pop()
