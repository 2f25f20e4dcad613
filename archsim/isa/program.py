"""What the machine executes: decoded instructions and the header that says what they were made for."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.errors import EncodingError
from archsim.isa.opcodes import OPCODES, Opcode
from archsim.isa.operands import REGISTER_COUNT, Operand

FORMAT_VERSION = 1
"""Version of the header's fields; a trace with another one is refused."""


@attrs.frozen
class Instruction:
    """One decoded instruction.

    `values` has one entry per operand of `opcode`, in table order: a register number, or a literal.
    `line` is where it came from (text line, or position in a binary trace, from 1; 0 where made by
    a program) and takes no part in comparisons.
    """

    opcode: Opcode
    values: tuple[int, ...]
    line: int = attrs.field(default=0, eq=False)


def label(operand: Operand) -> str:
    """The operand's name as people read it: rd, rs1, imm, ..."""
    return operand.name.partition("=")[0]


def value_bits(operand: Operand) -> int:
    """Bits that a legal value of the operand has; f and a registers use three of their four."""
    return REGISTER_COUNT[operand.kind].bit_length() - 1 if operand.is_register else operand.bits


def check_value(opcode: Opcode, operand: Operand, value: int) -> None:
    """Raise EncodingError, naming mnemonic and operand, where the value has no place in the field."""
    bits = value_bits(operand)
    if not 0 <= value < 1 << bits:
        raise EncodingError(f"{opcode.mnemonic}.{label(operand)}", value, bits)


def instruction(mnemonic: str, *values: int, line: int = 0) -> Instruction:
    """Make an instruction from operand values; trailing ones with a default may be left out.

    Raises EncodingError for a value outside its field. An unknown mnemonic and a wrong number of
    values are mistakes in the caller's code (KeyError, TypeError).
    """
    opcode = OPCODES[mnemonic]
    operands = opcode.operands
    rest = tuple(operand.default for operand in operands[len(values) :] if operand.default is not None)
    full = values + rest
    if len(full) != len(operands):
        raise TypeError(f"{mnemonic}: {len(values)} values for {len(operands)} operands")
    for operand, value in zip(operands, full, strict=True):
        check_value(opcode, operand, value)
    return Instruction(opcode, full, line)


@attrs.frozen
class PhaseInfo:
    """What `C_PHASE n` announces: entry n of the header's table.

    `step` is the kind of forward ("warm", "refine", ...), `operator` the work ("attention", ...).
    """

    name: str
    step: str
    operator: str


@attrs.frozen(kw_only=True)
class Header:
    """What a program was made for. The defaults are those of plain assembly.

    requires    machine fields the program relies on: dotted path -> value
    formats     HBM number formats by role (weights, kv, activations, vector_hbm); empty: the machine's
    block       positions in a denoising block
    forwards    one record per forward: kind, q_rows, kv_rows, head_rows, sampled_rows, committed, sequences
    int_mem     initial INT_MEM words: none, one image for all cores, or one per core
    gather_ids  where token ids come from, e.g. {"kind": "synthetic", "seed": 0}
    regions     HBM map: name, base, bytes
    ideal       work amounts per step kind, and "total"
    """

    format_version: int = FORMAT_VERSION
    name: str = ""
    model: dict[str, Any] = attrs.field(factory=dict)
    schedule: dict[str, Any] = attrs.field(factory=dict)
    requires: dict[str, object] = attrs.field(factory=dict)
    seed: int | None = None
    formats: dict[str, str] = attrs.field(factory=dict)
    block: int = 32
    cores: int = 1
    phases: tuple[PhaseInfo, ...] = ()
    forwards: tuple[dict[str, Any], ...] = ()
    int_mem: tuple[tuple[int, ...], ...] = ()
    gather_ids: dict[str, Any] = attrs.field(factory=dict)
    regions: tuple[dict[str, Any], ...] = ()
    ideal: dict[str, dict[str, int]] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Program:
    """One instruction stream, run by every core, with its header.

    `where` names the file in messages and takes no part in comparisons.
    """

    instructions: tuple[Instruction, ...]
    header: Header = attrs.field(factory=Header)
    where: str = attrs.field(default="<program>", eq=False)
