"""A static walk through a program: integers, loops and sticky state only, no values and no time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from archsim.isa.loops import match_loops
from archsim.isa.opcodes import PAGE_BITS
from archsim.isa.program import Instruction, Program

INTEGER = {
    "S_ADD_INT": lambda left, right: left + right,
    "S_SUB_INT": lambda left, right: left - right,
    "S_MUL_INT": lambda left, right: left * right,
    "S_ADDI_INT": lambda left, right: left + right,
}
STICKY = {
    "C_SET_V_ROWS": "v_rows",
    "C_SET_V_LANES": "v_lanes",
    "C_SET_V_SEG": "v_seg",
    "C_SET_M_ROWS": "m_rows",
    "C_SET_M_TILES": "m_tiles",
    "C_SET_M_FETCH": "m_fetch",
    "C_SET_M_GROUP": "m_group",
    "C_SET_H_ROWS": "h_rows",
    "C_SET_SCALE_REG": "scale",
    "C_SET_STRIDE_REG": "stride",
}
NOTHING = object()


@attrs.define
class Step:
    """One executed instruction: register operands resolved, sticky state as it stands."""

    mnemonic: str
    operands: dict[str, Any]
    state: dict[str, tuple[int, ...]]
    phase: int


def walk(program: Program, core: int = 0) -> Iterator[Step]:
    """Every executed instruction in program order; an integer that depends on data is None."""
    return _Walk(program, core).steps()


class _Walk:
    def __init__(self, program: Program, core: int) -> None:
        self.code = program.instructions
        self.ends = match_loops(self.code)
        self.starts = {end: start for start, end in self.ends.items()}
        images = program.header.int_mem
        self.memory: dict[int, int | None] = dict(enumerate(images[core % len(images)] if images else ()))
        self.registers: list[int | None] = [0] * 16
        self.bases = [0] * 8
        self.state: dict[str, tuple[int, ...]] = {
            "v_rows": (1, 1, 1), "m_tiles": (1, 0), "m_fetch": (1, 0), "stride": (0,)
        }  # fmt: skip
        self.loops: list[int] = []
        self.phase, self.pc = -1, 0

    def steps(self) -> Iterator[Step]:
        while self.pc < len(self.code):
            instruction = self.code[self.pc]
            step = Step(instruction.opcode.mnemonic, self.operands(instruction), self.state, self.phase)
            yield step
            rd = instruction.values[0] if instruction.values else 0
            if step.mnemonic.startswith("C_LOOP"):
                self.loop(step, rd)
            elif step.mnemonic.startswith("C_"):
                self.control(step, rd)
            else:
                result = self.integer(step)
                if result is not NOTHING and rd:
                    assert result is None or 0 <= result < 1 << 32, f"{step.mnemonic}: {result}"
                    self.registers[rd] = result
            self.pc += 1

    def operands(self, instruction: Instruction) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
            kept = {"gp": self.registers, "a": self.bases}.get(operand.kind) if operand.reads else None
            found[operand.name] = value if kept is None else kept[value]
        return found

    def integer(self, step: Step) -> Any:
        name, operands = step.mnemonic, step.operands
        if name in INTEGER:
            left, right = operands["rs1"], operands.get("rs2", operands.get("imm"))
            return None if left is None or right is None else INTEGER[name](left, right)
        if name == "S_ST_INT":
            self.memory[operands["rs1"] + operands["imm"]] = operands["rd"]
        if name == "S_LUI_INT":
            return operands["imm"] << 12
        if name == "S_LD_INT":
            return self.memory.get(operands["rs1"] + operands["imm"], 0)
        return None if name == "V_RED_MAX_IDX" else NOTHING

    def control(self, step: Step, rd: int) -> None:
        if step.mnemonic == "C_SET_ADDR_REG":
            self.bases[rd] = (step.operands["rs1"] << 32) + step.operands["rs2"]
        elif step.mnemonic == "C_SET_ADDR_PAGE":
            self.bases[rd] = step.operands["rs1"] << PAGE_BITS
        elif step.mnemonic == "C_SET_SCALE_PAGE":
            self.state = {**self.state, "scale": (step.operands["rs1"] << PAGE_BITS,)}
        elif step.mnemonic == "C_PHASE":
            self.phase = step.operands["imm"]
        elif step.mnemonic in STICKY:
            self.state = {**self.state, STICKY[step.mnemonic]: tuple(step.operands.values())}

    def loop(self, step: Step, rd: int) -> None:
        if step.mnemonic != "C_LOOP_END":
            trips = step.operands["imm" if step.mnemonic == "C_LOOP_START" else "rs1"]
            self.registers[rd] = trips
            if trips:
                self.loops.append(trips)
            else:
                self.pc = self.ends[self.pc]
            return
        self.loops[-1] -= 1
        self.registers[rd] = self.loops[-1]
        if self.loops[-1]:
            self.pc = self.starts[self.pc]
        else:
            self.loops.pop()
