"""What of a core the iterations of a loop can depend on: replay leaves the rest out of account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from archsim.components.decode import Decoded


@attrs.frozen
class LoopBody:
    """The lines that a loop's instructions lie on, and the integer registers that they name."""

    lines: range
    registers: tuple[int, ...]

    @classmethod
    def of(cls, code: Sequence[Decoded], indices: range) -> LoopBody:
        """The body made up of these instructions."""
        inside = [code[index] for index in indices]
        named = {
            value
            for each in inside
            for operand, value in zip(each.instruction.opcode.operands, each.values, strict=True)
            if operand.kind == "gp"
        }
        return cls(range(inside[0].line, inside[-1].line + 1), tuple(sorted(named)))
