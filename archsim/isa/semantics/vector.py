"""Instructions of the vector unit: elementwise, reductions, shifts, selection.

All rows are read before any is written. Elementwise results are computed in float32 and rounded to the
machine's format of reals; sums are taken in float64. With rmask = 1 the lanes of segments (of HLEN
lanes) whose mask bit is 0 pass the first operand through, and add nothing to sums.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from archsim.isa.semantics.rounding import Floats
from archsim.isa.semantics.scalar import Unit, length
from archsim.isa.semantics.smoothing import rotate as hadamard_transform
from archsim.isa.semantics.state import Call, CoreState, Write

_ONE = np.float32(1)


def first(core: CoreState, call: Call, address: int) -> Floats:
    """The rows of operand rs1, or of a source like it."""
    return core.read(call, address, call.sticky.v_rows, call.sticky.v_stride)


def second(core: CoreState, call: Call, address: int) -> Floats:
    """The rows of operand rs2."""
    return core.read(call, address, call.sticky.v_rows, call.sticky.v_stride2)


def result(core: CoreState, call: Call, address: int, values: Floats) -> list[Write]:
    """Round rows and write them to rd."""
    sticky = call.sticky
    rows = core.round(values)
    if len(rows) != sticky.v_rows:
        rows = np.broadcast_to(rows, (sticky.v_rows, core.shape.vlen))
    return [core.put(call, address, rows, sticky.v_rows, sticky.v_stride)]


def mask_lanes(core: CoreState, call: Call, flag: int) -> npt.NDArray[np.bool_] | None:
    """Lanes that take part (VLEN,), or None for all."""
    if not flag:
        return None
    segments = core.shape.vlen // core.shape.hlen
    bits = [call.sticky.mask >> index & 1 for index in range(segments)]
    return np.repeat(np.array(bits, np.bool_), core.shape.hlen)


def _masked(core: CoreState, call: Call, flag: int, values: Floats, through: Floats) -> Floats:
    on = mask_lanes(core, call, flag)
    return values if on is None else np.where(on, values, through)


def _vector_vector(operation: Callable[[Floats, Floats], Floats]) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        target, rs1, rs2, flag = call.arguments
        left, right = first(core, call, rs1), second(core, call, rs2)
        return result(core, call, target, _masked(core, call, flag, operation(left, right), left))

    return run


def _vector_scalar(operation: Callable[[Floats, np.float32], Floats]) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        target, rs1, scalar, flag = call.arguments
        left = first(core, call, rs1)
        values = operation(left, np.float32(core.f[scalar]))
        return result(core, call, target, _masked(core, call, flag, values, left))

    return run


def _vector(operation: Callable[[Floats], Floats]) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        target, rs1, flag = call.arguments
        source = first(core, call, rs1)
        return result(core, call, target, _masked(core, call, flag, operation(source), source))

    return run


add = _vector_vector(lambda left, right: left + right)
subtract = _vector_vector(lambda left, right: left - right)
multiply = _vector_vector(lambda left, right: left * right)
maximum = _vector_vector(np.maximum)
add_scalar = _vector_scalar(lambda left, scalar: left + scalar)
multiply_scalar = _vector_scalar(lambda left, scalar: left * scalar)
exponential = _vector(np.exp)
reciprocal = _vector(lambda values: _ONE / values)
inverse_root = _vector(lambda values: (_ONE / np.sqrt(values)).astype(np.float32))


def subtract_scalar(core: CoreState, call: Call) -> list[Write]:
    """Vector[rs1] - fs2, or fs2 - Vector[rs1] where rorder is 1."""
    target, rs1, scalar, flag, reverse = call.arguments
    left, right = first(core, call, rs1), np.float32(core.f[scalar])
    values = right - left if reverse else left - right
    return result(core, call, target, _masked(core, call, flag, values, left))


def shift(core: CoreState, call: Call) -> list[Write]:
    """Lanes moved up by rs2 places; zeros come in."""
    target, rs1, places = call.arguments
    source = first(core, call, rs1)
    values = np.zeros_like(source)
    if places < core.shape.vlen:
        values[:, places:] = source[:, : core.shape.vlen - places]
    return result(core, call, target, values)


def hadamard(core: CoreState, call: Call) -> list[Write]:
    """The orthonormal transform of each segment."""
    target, rs1, flag = call.arguments
    source, segment = first(core, call, rs1), call.sticky.segment
    turned = hadamard_transform(source.reshape(len(source), -1, segment).astype(np.float64))
    values = turned.reshape(source.shape).astype(np.float32)
    return result(core, call, target, _masked(core, call, flag, values, source))


def select(core: CoreState, call: Call) -> list[Write]:
    """Vector[rs3] != 0 ? Vector[rs1] : Vector[rs2]; one mask vector for all rows."""
    target, rs1, rs2, mask = call.arguments
    chosen = core.read(call, mask, 1, 1) != 0
    return result(core, call, target, np.where(chosen, first(core, call, rs1), second(core, call, rs2)))


def top_k(core: CoreState, call: Call) -> list[Write]:
    """1.0 at the k largest of Vector[rs1] where Vector[rs2] is not 0; of equal ones the first win."""
    target, rs1, rs2, wanted, _ = call.arguments
    count = length(core, call)
    allowed = core.read(call, rs2, 1, 1)[0, :count] != 0
    confidence = core.read(call, rs1, 1, 1)[0, :count]
    order = np.argsort(np.where(allowed, -confidence, np.inf), kind="stable")[:wanted]
    values = np.zeros(count, np.float32)
    values[order] = 1
    values *= allowed
    return [core.put_lanes(call, target, values[None], 1)]
