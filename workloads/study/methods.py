"""The methods that the KV study compares: those of the machine, and variants that tell effects apart.

Variants take exact factors (not rounded to BF16) unless their name says otherwise, so that one thing changes at a time.
"""

from __future__ import annotations

import attrs

from archsim.isa.semantics.methods import METHODS, Method
from archsim.isa.semantics.smoothing import Scheme

_G1 = Scheme(calibrated="warm", gain=1.0, exact=True)
_DEFAULT = attrs.evolve(METHODS["baos"].k, exact=True)


def _both(scheme: Scheme, about: str) -> Method:
    return Method(k=scheme, v=scheme, about=about)


STUDIED: dict[str, Method] = {
    "none": METHODS["none"],
    "static": _both(attrs.evolve(_G1, calibrated="once"), "factors of the first warm step for ever, gain 1"),
    "rtn": METHODS["rtn"],
    "hadamard": METHODS["hadamard"],
    "baos_p2": _both(attrs.evolve(_G1, power_of_two=True), "gain 1, factors rounded up to powers of two"),
    "baos_sqrt": _both(attrs.evolve(_G1, exponent=0.5), "gain 1, exponent 0.5"),
    "token_blocks": Method(k=Scheme(by_token=True), v=Scheme(), about="MX blocks of K along tokens; V as rtn"),
    "hadamard_baos": _both(attrs.evolve(_G1, rotated=True), "Hadamard, then gain 1"),
    "baos_clip": _both(attrs.evolve(_G1, clipped=True), "gain 1, rows clamped to the calibrated range"),
    "baos_g1": _both(_G1, "gain 1"),
    "baos_g1_step": _both(attrs.evolve(_G1, calibrated="step"), "gain 1, factors taken anew at every step"),
    "baos_g1_bf16": _both(attrs.evolve(_G1, exact=False), "gain 1, factors rounded up to BF16"),
    "baos_exact": _both(_DEFAULT, "gain 8/7"),
    "baos": METHODS["baos"],
    "baos_ceil": _both(attrs.evolve(_G1, number="mxint4_mase"), "gain 1, shared scales by the MASE rule"),
    "baos_centred": _both(attrs.evolve(_DEFAULT, centred=True), "gain 8/7, centred"),
    "mxfp4": _both(Scheme(number="mxfp4"), "MXFP4 as it comes"),
    "mxfp4_baos": _both(attrs.evolve(_G1, number="mxfp4"), "MXFP4, gain 1"),
    "kivi": METHODS["kivi"],
    "mxint8": _both(Scheme(number="mxint8"), "MXINT8 as it comes"),
}
"""Every method of the study by name, in the order of the table."""
