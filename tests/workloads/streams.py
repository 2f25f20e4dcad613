"""What a walk through a program shows of its forwards: their steps, their products, the weights that these read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from tests.workloads.walk import Step, walk


def begins_forward(made: Program, step: Step) -> bool:
    return step.mnemonic == "C_PHASE" and made.header.phases[step.operands["imm"]].operator == "embed"


def by_forward(made: Program) -> list[list[Step]]:
    """The executed instructions of every forward; those before the first one are left out."""
    out: list[list[Step]] = []
    for step in walk(made):
        if begins_forward(made, step):
            out.append([])
        if out:
            out[-1].append(step)
    return out


def tensor_cycles(made: Program) -> int:
    """Cycles of the tensor core's tiles."""
    tiles = (step.state["m_tiles"][0] for step in walk(made) if step.mnemonic in ("M_MM", "M_BMM", "M_BTMM"))
    requires: dict[str, Any] = made.header.requires
    return int(requires["core.blen"]) * sum(tiles)


def fetches_weights(step: Step) -> bool:
    return step.mnemonic == "H_PREFETCH_M" and step.operands["precision"] == 0


def fetched(made: Program, step: Step) -> Iterator[int]:
    """Where in HBM the weight tiles of a fetch lie, in bytes."""
    bits = FORMATS[made.header.formats["weights"]].bits
    count, elements = step.state["m_fetch"]
    return (step.operands["rs2"] + (step.operands["rs1"] + index * elements) * bits // 8 for index in range(count))


def weights_read(made: Program) -> list[list[int]]:
    """Of every forward, where the weight tiles that its products read came from, in their order."""
    cells = FORMATS[made.header.formats["weights"]].cells
    requires: dict[str, Any] = made.header.requires
    tile = requires["core.mlen"] * requires["core.blen"] * cells
    slots: dict[int, int] = {}
    out: list[list[int]] = []
    for step in walk(made):
        if begins_forward(made, step):
            out.append([])
        elif fetches_weights(step):
            slots.update(enumerate(fetched(made, step), step.operands["rd"] // tile))
        elif step.mnemonic == "M_MM":
            first = step.operands["rs1"] // tile
            out[-1] += [slots[slot] for slot in range(first, first + step.state["m_tiles"][0])]
    return out


def ranges(made: Program) -> dict[str, tuple[int, int]]:
    """First byte and end of every region."""
    return {region["name"]: (region["base"], region["base"] + region["bytes"]) for region in made.header.regions}


def used_regions(made: Program) -> list[list[str]]:
    """Of every forward, the regions of the weights that its products read, without repetitions in a row."""
    places = ranges(made)
    out: list[list[str]] = []
    for tiles in weights_read(made):
        out.append([])
        for byte in tiles:
            (name,) = (name for name, (low, high) in places.items() if low <= byte < high)
            if out[-1][-1:] != [name]:
                out[-1].append(name)
    return out
