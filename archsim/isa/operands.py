"""Operand kinds: how each is written, how wide its field is, what it does to a register."""

from __future__ import annotations

import attrs

GP, FP, ADDR, IMM, FLAG = "gp", "f", "a", "imm", "flag"
REGISTER_COUNT = {GP: 16, FP: 8, ADDR: 8}


@attrs.frozen
class Operand:
    """One operand of an instruction.

    `kind` is gp, f or a (registers), flag (a 4-bit literal) or imm (the rest of the word).
    `reads`/`writes` tell whether the register itself is read or written (addresses are reads).
    `default` is the value taken where assembly leaves a trailing operand out.
    """

    name: str
    kind: str
    bits: int
    reads: bool
    writes: bool
    default: int | None

    @property
    def is_register(self) -> bool:
        """Whether the operand names a register rather than holding a literal."""
        return self.kind in REGISTER_COUNT


def parse_operands(text: str, field_bits: int) -> tuple[Operand, ...]:
    """Read a table cell such as ">rd:gp rs1:gp imm"; `field_bits` is what the word leaves for operands.

    A leading ">" marks a written register, "+" one that is read and written. "name:kind=3" gives a
    default. `imm` takes whatever the four-bit fields before it leave.
    """
    operands: list[Operand] = []
    left = field_bits
    for word in text.split():
        access = word[0] if word[0] in ">+" else ""
        name, _, rest = word.lstrip(">+").partition(":")
        kind, _, default = (rest or name).partition("=")
        name = name.partition("=")[0]
        bits = left if kind == IMM else 4
        left -= bits
        if left < 0:
            raise ValueError(f"operands {text!r} do not fit in {field_bits} bits")
        register = kind in REGISTER_COUNT
        operands.append(
            Operand(
                name=name,
                kind=kind,
                bits=bits,
                reads=register and access != ">",
                writes=register and access != "",
                default=int(default) if default else None,
            )
        )
    return tuple(operands)
