"""What rows are chosen by, from the sums over their logits: confidence, margin or entropy."""

from __future__ import annotations

import attrs

from workloads.lowering.emit.builder import Builder

LOG_STEPS = 8
"""Steps of the logarithm; one takes it at most 2 nearer, and sums are at most the vocabulary, e^12."""


LIKELIHOOD = "likelihood"
"""Score of given tokens, which nothing is chosen by."""


@attrs.frozen
class Bank:
    """Registers of one row in flight, bank 0 or 1: gp of the token, f registers of maximum and sum."""

    index: int
    token: int
    maximum: int
    total: int
    weighted: int
    """Sum of exponentials times their exponents (entropy), or -1 / distance to the second largest (margin),
    or the exponential of a drawn token (confidence)."""


def emit_distances(builder: Builder, target: int, source: int) -> None:
    """target = 1 / distance of each logit to the row's largest, whose own place becomes minus infinity.

    `source` holds logits less the largest, so that -1/0 marks it. Further logits equal to the largest are
    marked as well.
    """
    builder.emit("V_RECI_V", target, source)
    builder.emit("V_SUB_VF", target, target, 0, 0, 1)


def emit_score(builder: Builder, score: str, bank: Bank, spare: tuple[int, int], *, drawn: bool) -> None:
    """Leave in `bank.total`, where the sum of exponentials is, what the row is chosen by; the larger the better.

    confidence: 1 / sum, the probability of the token, or weighted / sum where it was drawn. margin:
    (1 - e^-distance) / sum, what it has more than the second one. entropy: weighted / sum - log(sum),
    the negative entropy. likelihood: -max - log(sum), what to add to the logit of a token for the logarithm
    of its probability. The logarithm overwrites the `spare` f registers.
    """
    emit = builder.emit
    if score == LIKELIHOOD:
        emit("S_ADD_FP", bank.weighted, bank.maximum, 0)
        logarithm(builder, bank, spare)
        emit("S_ADD_FP", bank.total, bank.weighted, bank.maximum)
        emit("S_SUB_FP", bank.total, 0, bank.total)
        return
    if score == "entropy":
        logarithm(builder, bank, spare)
        emit("S_RECI_FP", bank.total, bank.total)
        emit("S_MUL_FP", bank.total, bank.total, bank.weighted)
        emit("S_SUB_FP", bank.total, bank.total, bank.maximum)
        return
    emit("S_RECI_FP", bank.total, bank.total)
    if score == "confidence" and drawn:
        emit("S_MUL_FP", bank.total, bank.total, bank.weighted)
    if score == "margin":
        one = bank.maximum
        emit("S_RECI_FP", bank.weighted, bank.weighted)
        emit("S_SUB_FP", bank.weighted, 0, bank.weighted)
        emit("S_EXP_FP", bank.weighted, bank.weighted)
        emit("S_EXP_FP", one, 0)
        emit("S_SUB_FP", bank.weighted, one, bank.weighted)
        emit("S_MUL_FP", bank.total, bank.total, bank.weighted)


def logarithm(builder: Builder, bank: Bank, spare: tuple[int, int]) -> None:
    """bank.maximum = log(bank.total), by Halley's method on e^y: y += 2 (s - e^y) / (s + e^y)."""
    emit, y = builder.emit, bank.maximum
    power, rest = spare
    emit("S_ADD_FP", y, 0, 0)
    with builder.loop(LOG_STEPS):
        emit("S_EXP_FP", power, y)
        emit("S_SUB_FP", rest, bank.total, power)
        emit("S_ADD_FP", power, bank.total, power)
        emit("S_RECI_FP", power, power)
        emit("S_MUL_FP", power, power, rest)
        emit("S_ADD_FP", y, y, power)
        emit("S_ADD_FP", y, y, power)
