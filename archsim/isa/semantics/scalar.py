"""Instructions of the scalar unit: reals in f registers and FP_MEM, integers to INT_MEM.

Each operation is rounded to float32, then to the machine's format of reals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from archsim.isa.semantics.state import Call, CoreState, Write

Unit: TypeAlias = Callable[[CoreState, Call], list[Write]]


def _two(operation: Callable[[np.float32, np.float32], np.float32]) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        target, left, right = call.arguments
        return [core.put_f(target, float(operation(np.float32(core.f[left]), np.float32(core.f[right]))))]

    return run


def _one(operation: Callable[[np.float32], np.float32]) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        target, source, _ = call.arguments
        return [core.put_f(target, float(operation(np.float32(core.f[source]))))]

    return run


add = _two(lambda left, right: left + right)
subtract = _two(lambda left, right: left - right)
multiply = _two(lambda left, right: left * right)
maximum = _two(np.maximum)
exponential = _one(np.exp)
reciprocal = _one(lambda value: np.float32(1) / value)
root = _one(np.sqrt)


def load(core: CoreState, call: Call) -> list[Write]:
    """fd = FP_MEM[rs1 + imm]."""
    target, address, offset = call.arguments
    return [core.put_f(target, float(core.read_fp(call, address + offset, 1)[0]))]


def store(core: CoreState, call: Call) -> list[Write]:
    """FP_MEM[rs1 + imm] = fd."""
    source, address, offset = call.arguments
    return [core.put_fp(call, address + offset, core.f[source])]


def length(core: CoreState, call: Call) -> int:
    """The length operand, the last one; gp0 stands for VLEN. Raises ProgramFault outside 1..VLEN."""
    vlen = core.shape.vlen
    if not call.step.values[-1]:
        return vlen
    count = call.arguments[-1]
    if not 1 <= count <= vlen:
        core.wrong(call, f"length {count}; expected 1..{vlen}")
    return count


def map_vector(core: CoreState, call: Call) -> list[Write]:
    """Vector[rd][i] = FP_MEM[rs1 + off + i]; lanes from the length on keep what they hold."""
    target, address, offset, _ = call.arguments
    count = length(core, call)
    values = core.read_fp(call, address + offset, count).copy()
    return [core.put_lanes(call, target, values[None], 1)]


def store_int(core: CoreState, call: Call) -> list[Write]:
    """INT_MEM[rs1 + imm] = rd."""
    value, address, offset = call.arguments
    return [core.put_ints(call, address + offset, value, 1)]


def select_int(core: CoreState, call: Call) -> list[Write]:
    """INT[rd + i] = Vector[rs3][i] != 0 ? INT[rs1 + i] : INT[rs2 + i]."""
    target, left, right, mask, _ = call.arguments
    count = length(core, call)
    chosen = core.read(call, mask, 1, 1)[0, :count] != 0
    values = np.where(chosen, core.read_ints(call, left, count), core.read_ints(call, right, count))
    return [core.put_ints(call, target, values, count)]
