"""How little a row's distribution changed since the forward before: exp(-KL of the new one to the old one).

With logits x and y of a row, and L their logarithms of sums of exponentials,
KL(p || q) = sum p (x - y) - (L(x) - L(y)). So the logits are kept instead of the probabilities: forwards in
turn spill them to two places, and L stays in FP_MEM from forward to forward.
"""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_LOGITS, A_PREVIOUS, Cell
from workloads.lowering.sampling.scores import Bank, logarithm

STABILITY = "stability"


def swap_logits(c: Context) -> None:
    """What the forward before spilled becomes the previous logits; this one overwrites those before them."""
    b, pages = c.b, Cell.LOGIT_PAGES
    with b.reg() as old, b.reg() as new:
        b.load(old, pages)
        b.load(new, pages + 1)
        b.store(new, pages)
        b.store(old, pages + 1)
        b.emit("C_SET_ADDR_PAGE", A_LOGITS, new)
        b.emit("C_SET_ADDR_PAGE", A_PREVIOUS, old)


def emit_stability(
    builder: Builder, bank: Bank, scalars: tuple[int, ...], word: tuple[int, int], *, compared: bool
) -> None:
    """Leave confidence * exp(-KL) in `bank.total`, or the confidence where nothing is `compared`.

    `bank.weighted` has the sum of exp(x - max) (x - y). `word` (register, distance) is the FP_MEM word with
    L(y), which L(x) overwrites. Takes three of the `scalars`, of which the other bank's must not be in use.
    """
    emit = builder.emit
    spare, other = (scalars[2], scalars[3]), scalars[6 - bank.index]
    emit("S_ADD_FP", other, bank.maximum, 0)
    logarithm(builder, bank, spare)
    emit("S_ADD_FP", bank.maximum, bank.maximum, other)
    emit("S_RECI_FP", bank.total, bank.total)
    if compared:
        emit("S_MUL_FP", bank.weighted, bank.weighted, bank.total)
        emit("S_LD_FP", other, *word)
        emit("S_SUB_FP", other, bank.maximum, other)
        emit("S_SUB_FP", bank.weighted, other, bank.weighted)
        emit("S_EXP_FP", bank.weighted, bank.weighted)
        emit("S_MUL_FP", bank.total, bank.total, bank.weighted)
    emit("S_ST_FP", bank.maximum, *word)
