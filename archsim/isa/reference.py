"""The instruction set for people: `docs/isa.md` and the listing of `archsim isa`, from the table.

`python -m archsim.isa.reference` prints the page, for `docs/isa.md` after a change to the table.
"""

from __future__ import annotations

import sys

from archsim.isa.assembler import syntax
from archsim.isa.encoding import bit_fields
from archsim.isa.formats import FORMATS
from archsim.isa.opcodes import OPCODES, PREFIX, UNITS, Opcode
from archsim.isa.operands import REGISTER_COUNT
from archsim.isa.program import label

_UNIT_TITLES = {
    "front": "Front end",
    "scalar": "Scalar unit",
    "vector": "Vector unit",
    "tensor": "Tensor core",
    "kv": "KV quantization engine",
    "dma": "DMA",
    "net": "Network",
}

_INTRODUCTION = """\
# Instruction set

Generated from the opcode table, `archsim/isa/opcodes.py`, by `python -m archsim.isa.reference`; the
tests compare it. Mnemonics, operand order and codes of the base instructions are those of the public
PLENA / d-PLENA instruction set (AICrossSim repositories; arXiv 2601.20706). Instructions under the
prefix `0x{prefix:02X}` are archsim's own.

## Writing it

One instruction a line, `OPCODE op1, op2, ...`; a semicolon starts a comment. Registers are
{registers}; gp0 reads 0 and f0 reads 0.0. Literals are decimal or `0x` hexadecimal and never negative. Operands in
brackets may be left out, from the last backwards, and then have the value shown. `0` may stand for gp0,
and `M_` instructions may carry one leading `0` before their operands, which is dropped.

## Words

An instruction is 32 bits. The primary code takes bits 5:0; under the prefix the function takes bits
11:6. Operands follow upwards in the order written: 4 bits each, an immediate (`imm`) the rest. Bits
above the last operand are zero, and code 0 is no instruction.

## Precision

The `precision` operand of `H_` instructions: 0 is the program's weight format (`H_PREFETCH_M`) or
activation format, 1 its KV format; a format by number is {formats}.
8, of `H_PREFETCH_M`, is the KV format with scale blocks of 32 rows along the channels, as scheme 3 of `K_STORE` writes
them.

## Columns

Code is the primary code, with the function after a stop under the prefix. Operands carry their bits in
the word. Cost is latency/interval in cycles, per row or tile, as the table has it; a single figure is
both. A cost of 0 means that the transfer itself takes the time. Symbols: blen, mlen, hlen, vlen of the
machine, log2_mlen, and len, the instruction's length operand. Machine files may give other costs.
"""


def _code(opcode: Opcode) -> str:
    return f"0x{opcode.code:02X}" + (f".{opcode.function:02X}" if opcode.function is not None else "")


def _encoding(opcode: Opcode) -> str:
    fields = zip(opcode.operands, bit_fields(opcode), strict=True)
    return ", ".join(f"{label(operand)} {high}:{low}" for operand, (low, high) in fields) or "none"


def _row(opcode: Opcode) -> str:
    texts = (_code(opcode), _encoding(opcode), opcode.cost, opcode.meaning)
    cells = (f"`{syntax(opcode)}`", *(text.replace("*", "\\*") for text in texts))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _section(unit: str) -> str:
    rows = [_row(opcode) for opcode in OPCODES.values() if opcode.unit == unit]
    head = "| Instruction | Code | Operand bits | Cost | Meaning |\n|---|---|---|---|---|\n"
    return f"\n## {_UNIT_TITLES[unit]}\n\n{head}" + "\n".join(rows) + "\n"


def isa_markdown() -> str:
    """The whole page `docs/isa.md`."""
    registers = ", ".join(f"{kind}0-{kind}{count - 1}" for kind, count in REGISTER_COUNT.items())
    formats = ", ".join(f"{fmt.code} {fmt.name}" for fmt in FORMATS.values())
    introduction = _INTRODUCTION.format(prefix=PREFIX, registers=registers, formats=formats)
    return introduction + "".join(map(_section, UNITS))


def isa_listing() -> str:
    """Plain text for a terminal: code, syntax, cost and meaning, grouped by unit."""
    width = max(len(syntax(opcode)) for opcode in OPCODES.values())
    lines: list[str] = []
    for unit in UNITS:
        lines += ["", f"{_UNIT_TITLES[unit]} ({unit})"] if lines else [f"{_UNIT_TITLES[unit]} ({unit})"]
        for opcode in OPCODES.values():
            if opcode.unit == unit:
                lines.append(f"  {_code(opcode):7}  {syntax(opcode):{width}}  {opcode.cost:13}  {opcode.meaning}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(isa_markdown())
