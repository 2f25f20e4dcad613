"""Instructions of the KV engine: channel ranges, quantise-and-store, folding (see `smoothing`).

A slot of the scale memory keeps A[c], the maximum of each channel; its factor is s[c] = g * max(A[c],
2^-20) rounded up to BF16, where g puts the maximum on the format's largest code (8/7 for MXINT4).
"""

from __future__ import annotations

import numpy as np

from archsim.isa.formats import BY_CHANNEL, Format
from archsim.isa.semantics.channels import write_channels
from archsim.isa.semantics.numbers import NUMBERS, Reals
from archsim.isa.semantics.rounding import Floats
from archsim.isa.semantics.smoothing import FLOOR, bf16_up
from archsim.isa.semantics.state import Call, CoreState, Write
from archsim.isa.semantics.transfer import cache_lanes, write_rows
from archsim.isa.semantics.vector import result

SMOOTHED = 2
"""Value of K_STORE's scheme operand that divides by the slot's factors; the others store rows as they are."""


def calibrate(core: CoreState, call: Call) -> list[Write]:
    """A[c] = max |row[c]| over the rows, and over earlier ones unless `first`; what is not finite is left out."""
    rows_at, slot, first = call.arguments
    _check_slot(core, call, slot)
    rows = np.abs(core.read(call, rows_at, call.sticky.v_rows, call.sticky.v_stride))
    peak = np.where(np.isfinite(rows), rows, np.float32(0)).max(axis=0)
    if not first:
        peak = np.maximum(peak, _peak(core, call, slot))

    def store() -> None:
        core.peaks[slot] = peak

    return [Write(store)]


def store_rows(core: CoreState, call: Call) -> list[Write]:
    """Rows, divided by the factors where smoothed, to the cache; C_SET_STRIDE_REG has lanes and pitch of a row."""
    target, source, base, slot, scheme = call.arguments
    sticky, lanes = call.sticky, cache_lanes(core, call)
    read = core.read(call, source, sticky.v_rows, sticky.v_stride)[:, :lanes]
    rows: Floats | Reals = np.broadcast_to(read, (sticky.v_rows, lanes))
    if scheme == BY_CHANNEL:
        return write_channels(core, call, base, target, rows)
    if scheme == SMOOTHED:
        _check_slot(core, call, slot)
        # In float64, as `smoothing` has it: rounded once, to the format's codes.
        rows = rows.astype(np.float64) / _factors(_peak(core, call, slot), core.shape.formats.kv)[:lanes]
    return write_rows(core, call, base, target, rows, sticky.stride or lanes)


def fold(core: CoreState, call: Call) -> list[Write]:
    """Rows times the slot's factors; packed query heads take those of their KV head (C_SET_M_GROUP)."""
    target, source, slot = call.arguments
    _check_slot(core, call, slot)
    shape, sticky = core.shape, call.sticky
    factors = _factors(_peak(core, call, slot), shape.formats.kv).reshape(-1, shape.hlen)
    heads = (sticky.first_head + np.arange(len(factors))) // sticky.group
    # Lanes of heads that the slot does not have are not in use.
    by_head = factors[np.minimum(heads, len(factors) - 1)].reshape(-1)
    rows = core.read(call, source, sticky.v_rows, sticky.v_stride)
    return result(core, call, target, rows * by_head)


def _check_slot(core: CoreState, call: Call, slot: int) -> None:
    if slot >= core.shape.slots:
        core.fault(call, f"KV scale slot {slot}; expected within [0, {core.shape.slots})")


def _peak(core: CoreState, call: Call, slot: int) -> Floats:
    if slot not in core.peaks:
        core.fault(call, f"reads KV scale slot {slot}, which nothing has written; expected K_CALIB first")
    return core.peaks[slot]


def _factors(peak: Floats, fmt: Format) -> Floats:
    # A format with zero points takes what range there is.
    number = None if fmt.asymmetric else NUMBERS[fmt.name]
    gain = 1.0 if number is None or number.element is not None else (1 << number.bits - 1) / number.highest
    return bf16_up(gain * np.maximum(peak.astype(np.float64), FLOOR)).astype(np.float32)
