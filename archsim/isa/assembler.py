"""From assembly text to instructions.

One instruction a line: `OPCODE op1, op2, ...`; a semicolon starts a comment. Registers are gp0-gp15,
f0-f7 and a0-a7, literals decimal or 0x hexadecimal. Trailing operands with a default may be left
out. Two habits of existing PLENA assembly are accepted: a plain 0 for gp0, and one leading 0 before
the operands of an M_ instruction (`M_MM 0, gp2, gp4`), which is dropped.
"""

from __future__ import annotations

import difflib
import re
from typing import TypeAlias

from archsim.errors import AssemblyError
from archsim.isa.loops import match_loops
from archsim.isa.opcodes import OPCODES, Opcode
from archsim.isa.operands import GP, REGISTER_COUNT, Operand
from archsim.isa.program import Instruction, label

_Parsed: TypeAlias = tuple[Opcode, tuple[int, ...]]

_REGISTERS = {kind: {f"{kind}{n}": n for n in range(count)} for kind, count in REGISTER_COUNT.items()}
_REGISTERS[GP]["0"] = 0

_NUMBER = re.compile(r"[0-9]{1,40}|0[xX][0-9a-fA-F]{1,40}", re.ASCII)
_MNEMONIC_AT = -1


class _Problem(Exception):
    """What is wrong with a line, and at which operand (`_MNEMONIC_AT`: the mnemonic)."""

    def __init__(self, position: int, message: str) -> None:
        self.position, self.message = position, message


def assemble(text: str, where: str = "<text>", first_line: int = 1) -> list[Instruction]:
    """Assemble a whole program; `first_line` is the number of the text's first line in messages.

    Raises AssemblyError, for the first fault only: unknown mnemonic, wrong number or kind of
    operands, a register or literal out of range, or loops that do not nest.
    """
    # Generated programs repeat their lines, so each different line is read once.
    read: dict[str, _Parsed | None] = {}
    instructions: list[Instruction] = []
    add = instructions.append
    for number, line in enumerate(text.split("\n"), first_line):
        if line in read:
            parsed = read[line]
        else:
            parsed = read[line] = _read(line, where, number)
        if parsed is not None:
            add(Instruction(parsed[0], parsed[1], number))
    match_loops(instructions, where)
    return instructions


def syntax(opcode: Opcode) -> str:
    """How the instruction is written: "V_EXP_V rd:gp, rs1:gp[, rmask:flag=0]"."""
    text = ""
    for operand in opcode.operands:
        word = label(operand) + (f":{operand.kind}" if label(operand) != operand.kind else "")
        separator = ", " if text else ""
        text += f"{separator}{word}" if operand.default is None else f"[{separator}{word}={operand.default}]"
    return f"{opcode.mnemonic} {text}".rstrip()


def _read(line: str, where: str, number: int) -> _Parsed | None:
    code = line.partition(";")[0].strip()
    if not code:
        return None
    try:
        return _parse(code)
    except _Problem as problem:
        raise AssemblyError(where, number, _column(line, problem.position), problem.message) from None


def _parse(code: str) -> _Parsed:
    mnemonic, *rest = code.split(None, 1)
    opcode = OPCODES.get(mnemonic)
    if opcode is None:
        raise _Problem(_MNEMONIC_AT, _unknown(mnemonic))
    tokens = [token.strip() for token in rest[0].split(",")] if rest else []
    operands = opcode.operands
    dropped = int(mnemonic.startswith("M_") and len(tokens) == len(operands) + 1 and tokens[0] == "0")
    tokens = tokens[dropped:]
    _check_count(opcode, tokens)
    values = [
        _value(operand, token, position)
        for position, (operand, token) in enumerate(zip(operands, tokens, strict=False), dropped)
    ]
    values += [operand.default for operand in operands[len(tokens) :] if operand.default is not None]
    return opcode, tuple(values)


def _value(operand: Operand, token: str, position: int) -> int:
    if not operand.is_register:
        return _literal(operand, token, position)
    number = _REGISTERS[operand.kind].get(token)
    if number is None:
        raise _Problem(position, _bad_register(operand, token))
    return number


def _literal(operand: Operand, token: str, position: int) -> int:
    highest = (1 << operand.bits) - 1
    name = label(operand)
    if _NUMBER.fullmatch(token) is None:
        negative = re.fullmatch(r"-[0-9a-fA-FxX]+", token) is not None
        what = "is negative" if negative else "is not a number"
        raise _Problem(position, f"{name}: {token!r} {what}; expected 0..{highest}, decimal or 0x hexadecimal")
    value = int(token, 16 if token[:2] in ("0x", "0X") else 10)
    if value > highest:
        raise _Problem(position, f"{name}: {token} does not fit in {operand.bits} bits; expected 0..{highest}")
    return value


def _check_count(opcode: Opcode, tokens: list[str]) -> None:
    most = len(opcode.operands)
    least = sum(operand.default is None for operand in opcode.operands)
    if least <= len(tokens) <= most:
        return
    wanted = str(most) if least == most else f"{least} to {most}"
    message = f"{opcode.mnemonic} has {len(tokens)} operands, takes {wanted}; expected {syntax(opcode)}"
    raise _Problem(_MNEMONIC_AT, message)


def _bad_register(operand: Operand, token: str) -> str:
    kind = operand.kind
    known = f"{kind}0..{kind}{REGISTER_COUNT[kind] - 1}"
    if re.fullmatch(rf"{kind}[0-9]+", token, re.ASCII):
        return f"{token}: registers are {known}"
    return f"{label(operand)}: {token!r} is not a register of the right kind; expected {known}"


def _unknown(mnemonic: str) -> str:
    close = difflib.get_close_matches(mnemonic.upper(), OPCODES, n=1)
    help_text = f"did you mean {close[0]}?" if close else "the opcode table is in docs/isa.md"
    return f"unknown mnemonic {mnemonic!r}; {help_text}"


def _column(line: str, position: int) -> int:
    """Column, from 1, of the mnemonic or of an operand in the line as written."""
    start = len(line) - len(line.lstrip())
    if position == _MNEMONIC_AT:
        return start + 1
    match = re.compile(r"\S+\s*").match(line, start)
    at = match.end() if match else start
    for _ in range(position):
        at = line.index(",", at) + 1
    rest = line[at:]
    return at + len(rest) - len(rest.lstrip()) + 1
