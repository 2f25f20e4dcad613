"""Named ways to store the KV cache: one `Scheme` for K, one for V."""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.isa.semantics.smoothing import ASYMMETRIC, Scheme


@attrs.frozen(kw_only=True)
class Method:
    """Schemes of K and V, and one line on what the method is."""

    k: Scheme
    v: Scheme
    about: str

    @property
    def bits_per_element(self) -> float:
        """Mean of K and V."""
        return (self.k.bits_per_element + self.v.bits_per_element) / 2


def _both(scheme: Scheme, about: str) -> Method:
    return Method(k=scheme, v=scheme, about=about)


_SMOOTHED = Scheme(calibrated="warm")

METHODS: dict[str, Method] = {
    "none": _both(Scheme(number="bf16"), "BF16"),
    "rtn": _both(Scheme(), "MXINT4 as it comes"),
    "static": _both(attrs.evolve(_SMOOTHED, calibrated="once"), "factors of the first warm step for ever"),
    "baos": _both(_SMOOTHED, "factors of each block's warm step"),
    "hadamard": _both(Scheme(rotated=True), "Hadamard over the head's channels"),
    "kivi": Method(
        k=Scheme(number=ASYMMETRIC, by_token=True),
        v=Scheme(number=ASYMMETRIC),
        about="asymmetric INT4 in groups of 32; K by channel, V by token",
    ),
}
"""Every method by name."""


def method_named(name: str, path: str = "KV method") -> Method:
    """Look a method up; raises ConfigError at `path` where the name is unknown."""
    if name not in METHODS:
        raise ConfigError(path, name, "one of " + ", ".join(METHODS))
    return METHODS[name]
