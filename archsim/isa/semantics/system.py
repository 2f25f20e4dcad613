"""The whole state of a machine with values: HBM and the cores, as they are before the first instruction."""

from __future__ import annotations

import attrs

from archsim.isa.program import Header, Program
from archsim.isa.semantics.hbm import Hbm
from archsim.isa.semantics.shape import Shape
from archsim.isa.semantics.state import Accumulator, CoreState
from archsim.isa.semantics.step import Step, prepare


@attrs.define(eq=False)
class System:
    """State of every core and HBM, and the program's instructions made ready."""

    shape: Shape
    hbm: Hbm
    cores: list[CoreState]
    steps: list[Step]


def new_system(program: Program, shape: Shape, tensor_units: int = 1) -> System:
    """The state that a program begins with: INT_MEM as its header says, all else never written."""
    header = program.header
    regions = tuple((str(r["name"]), int(r["base"]), int(r["bytes"])) for r in header.regions)
    hbm = Hbm(shape.hbm_bytes, regions)
    cores: list[CoreState] = []
    for index in range(shape.cores):
        tensors = [Accumulator() for _ in range(tensor_units)]
        core = CoreState(f"core{index}", index, shape, hbm, cores, tensors)
        image = _image(header, index)
        core.ints[: len(image)] = image
        cores.append(core)
    return System(shape, hbm, cores, prepare(program, shape))


def _image(header: Header, core: int) -> tuple[int, ...]:
    images = header.int_mem
    return images[core if len(images) > 1 else 0] if images else ()
