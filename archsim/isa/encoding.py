"""Instructions as 32-bit words.

The low 6 bits hold the primary code. Under the extension prefix 0x3F the next 6 hold the function.
Operands follow from low to high in table order: 4 bits each, an immediate takes the rest. Bits
above the last operand are zero. A word 0 is no instruction.
"""

from __future__ import annotations

import attrs

from archsim.errors import TraceError
from archsim.isa.opcodes import BY_CODE, OPCODES, PREFIX, Opcode
from archsim.isa.program import Instruction, check_value, label, value_bits

WORD_BITS = 32
CODE_BITS = 6


@attrs.frozen
class _Layout:
    """Where an opcode's fields stand: `head` is code and function, `fields` (shift, field mask)."""

    opcode: Opcode
    head: int
    fields: tuple[tuple[int, int], ...]
    end: int


def _layout(opcode: Opcode) -> _Layout:
    head, shift = opcode.code, CODE_BITS
    if opcode.function is not None:
        head |= opcode.function << CODE_BITS
        shift += CODE_BITS
    fields = []
    for operand in opcode.operands:
        fields.append((shift, (1 << operand.bits) - 1))
        shift += operand.bits
    assert shift <= WORD_BITS, opcode.mnemonic
    return _Layout(opcode, head, tuple(fields), shift)


_LAYOUTS = {mnemonic: _layout(opcode) for mnemonic, opcode in OPCODES.items()}


def bit_fields(opcode: Opcode) -> tuple[tuple[int, int], ...]:
    """Lowest and highest bit of each operand's field, in table order."""
    return tuple((shift, shift + mask.bit_length() - 1) for shift, mask in _LAYOUTS[opcode.mnemonic].fields)


def encode(instruction: Instruction) -> int:
    """The 32-bit word; raises EncodingError, naming the operand, for a value outside its field."""
    layout = _LAYOUTS[instruction.opcode.mnemonic]
    word = layout.head
    for operand, value, (shift, _) in zip(instruction.opcode.operands, instruction.values, layout.fields, strict=True):
        check_value(instruction.opcode, operand, value)
        word |= value << shift
    return word


def decode(word: int, index: int = 0, where: str = "<words>") -> Instruction:
    """The instruction of a 32-bit word; `index` is its position from 0, for messages and `line`.

    Raises TraceError for an unknown code, a register that does not exist, and stray high bits.
    """
    layout = _find(word, index, where)
    values = tuple(word >> shift & mask for shift, mask in layout.fields)
    for operand, value in zip(layout.opcode.operands, values, strict=True):
        if value >> value_bits(operand):
            raise _refuse(word, index, where, f"{layout.opcode.mnemonic} {label(operand)} = {value}", "a register")
    if word >> layout.end:
        raise _refuse(word, index, where, f"bits {layout.end} and up of {layout.opcode.mnemonic} set", "zeros")
    return Instruction(layout.opcode, values, index + 1)


def _find(word: int, index: int, where: str) -> _Layout:
    code = word & (1 << CODE_BITS) - 1
    function = word >> CODE_BITS & (1 << CODE_BITS) - 1 if code == PREFIX else None
    opcode = BY_CODE.get((code, function))
    if opcode is None:
        found = f"unknown code 0x{code:02x}" + (f", function 0x{function:02x}" if function is not None else "")
        raise _refuse(word, index, where, found, "a code of the opcode table")
    return _LAYOUTS[opcode.mnemonic]


def _refuse(word: int, index: int, where: str, found: str, expected: str) -> TraceError:
    return TraceError(f"{where}: word {index} (0x{word:08x}): {found}; expected {expected}")
