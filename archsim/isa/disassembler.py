"""From instructions to canonical text, the form that traces are written in."""

from __future__ import annotations

from collections.abc import Iterable

from archsim.isa.encoding import decode
from archsim.isa.program import Instruction


def format_instruction(instruction: Instruction) -> str:
    """Canonical text of one instruction: decimal literals, trailing defaults left out."""
    operands, values = instruction.opcode.operands, instruction.values
    count = len(operands)
    while count and values[count - 1] == operands[count - 1].default:
        count -= 1
    words = [
        f"{operand.kind}{value}" if operand.is_register else str(value)
        for operand, value in zip(operands[:count], values, strict=False)
    ]
    return f"{instruction.opcode.mnemonic} {', '.join(words)}".rstrip()


def disassemble(program: Iterable[Instruction | int]) -> str:
    """Text of a program, one line each, from instructions or from 32-bit words.

    `assemble` reads it back to equal instructions. Raises TraceError for words that are none.
    """
    lines = [
        format_instruction(decode(item, index) if isinstance(item, int) else item) for index, item in enumerate(program)
    ]
    return "".join(f"{line}\n" for line in lines)
