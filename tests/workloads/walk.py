"""A static walk through a program: integers, loops and sticky state only, no values and no time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from archsim.isa.loops import match_loops
from archsim.isa.program import Program

INTEGER = {
    "S_ADD_INT": lambda left, right: left + right,
    "S_SUB_INT": lambda left, right: left - right,
    "S_MUL_INT": lambda left, right: left * right,
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


@attrs.define
class Step:
    """One executed instruction: register operands resolved, sticky state as it stands."""

    mnemonic: str
    operands: dict[str, int | None]
    state: dict[str, tuple[int, ...]]
    phase: int


def walk(program: Program, core: int = 0) -> Iterator[Step]:
    """Every executed instruction in program order; an integer that depends on data is None."""
    code = program.instructions
    ends = match_loops(code)
    starts = {end: start for start, end in ends.items()}
    images = program.header.int_mem
    memory: dict[int, int | None] = dict(enumerate(images[core % len(images)] if images else ()))
    registers: list[int | None] = [0] * 16
    bases = [0] * 8
    state: dict[str, tuple[int, ...]] = {"v_rows": (1, 1, 1), "m_tiles": (1, 0), "m_fetch": (1, 0), "stride": (0,)}
    loops: list[int] = []
    phase, pc = -1, 0
    while pc < len(code):
        instruction = code[pc]
        name = instruction.opcode.mnemonic
        operands: dict[str, int | None] = {}
        for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
            operands[operand.name] = registers[value] if operand.kind == "gp" and operand.reads else value
            if operand.kind == "a" and operand.reads:
                operands[operand.name] = bases[value]
        rd = instruction.values[0] if instruction.values else 0
        yield Step(name, operands, state, phase)
        result: Any = False
        if name in INTEGER:
            left, right = operands["rs1"], operands["rs2"]
            result = None if left is None or right is None else INTEGER[name](left, right)
        elif name == "S_ADDI_INT":
            result = None if operands["rs1"] is None else operands["rs1"] + operands["imm"]
        elif name == "S_LUI_INT":
            result = operands["imm"] << 12
        elif name == "S_LD_INT":
            result = memory.get(operands["rs1"] + operands["imm"], 0)
        elif name == "S_ST_INT":
            memory[operands["rs1"] + operands["imm"]] = operands["rd"]
        elif name == "V_RED_MAX_IDX":
            result = None
        elif name == "C_SET_ADDR_REG":
            bases[rd] = (operands["rs1"] << 32) + operands["rs2"]
        elif name in STICKY:
            state = {**state, STICKY[name]: tuple(operands.values())}
        elif name == "C_PHASE":
            phase = operands["imm"]
        elif name in ("C_LOOP_START", "C_LOOP_START_R"):
            trips = operands["imm"] if name == "C_LOOP_START" else operands["rs1"]
            registers[rd] = trips
            if trips:
                loops.append(trips)
            else:
                pc = ends[pc]
        elif name == "C_LOOP_END":
            loops[-1] -= 1
            registers[rd] = loops[-1]
            if loops[-1]:
                pc = starts[pc]
            else:
                loops.pop()
        if result is not False and rd:
            assert result is None or 0 <= result < 1 << 32, f"{name}: {result}"
            registers[rd] = result
        pc += 1
