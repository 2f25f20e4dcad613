"""Which weights a program's products read, from a walk through it."""

from __future__ import annotations

from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from tests.workloads.walk import walk


def used_regions(made: Program) -> list[list[str]]:
    """Of every forward, the regions of the weight tiles that its products read, without repetitions in a row."""
    fmt = FORMATS[made.header.formats["weights"]]
    tile = made.header.requires["core.mlen"] * made.header.requires["core.blen"] * fmt.cells
    ranges = {row["name"]: (row["base"], row["base"] + row["bytes"]) for row in made.header.regions}
    slots: dict[int, int] = {}
    out: list[list[str]] = []
    for step in walk(made):
        if step.mnemonic == "C_PHASE" and made.header.phases[step.operands["imm"]].operator == "embed":
            out.append([])
        elif step.mnemonic == "H_PREFETCH_M" and step.operands["precision"] == 0:
            count, elements = step.state["m_fetch"]
            for index in range(count):
                byte = step.operands["rs2"] + (step.operands["rs1"] + index * elements) * fmt.bits // 8
                slots[step.operands["rd"] // tile + index] = byte
        elif step.mnemonic == "M_MM":
            first = step.operands["rs1"] // tile
            for slot in range(first, first + step.state["m_tiles"][0]):
                (name,) = (name for name, (low, high) in ranges.items() if low <= slots[slot] < high)
                if out[-1][-1:] != [name]:
                    out[-1].append(name)
    return out
