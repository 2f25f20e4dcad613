"""The shape of a model: the dimensions a lowering needs, and what follows from them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs

from archsim.errors import WorkloadError

KINDS = ("dllm", "ar")
MLPS = ("swiglu",)
_DIMENSIONS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


@attrs.frozen(kw_only=True)
class ModelShape:
    """The shape of one dense decoder-style transformer; raises WorkloadError where it contradicts itself.

    Every layer is RMSNorm, attention with rotary positions, RMSNorm, gated MLP. `kind` is "dllm" for
    masked diffusion (bidirectional attention, `mask_id` set) or "ar" for causal, left to right.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    """Width of the MLP's inner rows; a "swiglu" MLP has three hidden x ffn matrices."""
    vocab: int
    """Rows of the embedding table and columns of the LM head."""
    mask_id: int | None = None
    tied: bool
    """Whether the LM head shares the embedding table."""
    rope_theta: float
    qkv_bias: bool
    norm_eps: float
    mlp: str
    kind: str
    source: str
    """Where the figures come from."""

    def __attrs_post_init__(self) -> None:
        for key in _DIMENSIONS:
            value = getattr(self, key)
            self._require(type(value) is int and value > 0, key, "a positive integer")
        self._require(self.heads % self.kv_heads == 0, "kv_heads", f"a divisor of heads ({self.heads})")
        self._require(self.head_dim % 2 == 0, "head_dim", "an even number (rotary pairs)")
        self._require(self.mlp in MLPS, "mlp", f"one of {', '.join(MLPS)}")
        self._require(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}")
        if self.kind == "dllm":
            valid = type(self.mask_id) is int and 0 <= self.mask_id < self.vocab
            self._require(valid, "mask_id", f"a token id below vocab ({self.vocab})")
        for key in ("rope_theta", "norm_eps"):
            value = getattr(self, key)
            self._require(isinstance(value, (int, float)) and value > 0, key, "a positive number")
        for key in ("tied", "qkv_bias"):
            self._require(isinstance(getattr(self, key), bool), key, "true or false")

    def _require(self, holds: bool, key: str, expected: str) -> None:
        if not holds:
            raise WorkloadError(f"model {self.name}: {key} is {getattr(self, key)!r}; expected {expected}")

    @property
    def q_width(self) -> int:
        """Elements of one query row: heads x head_dim."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of one key (or value) row: kv_heads x head_dim."""
        return self.kv_heads * self.head_dim

    @property
    def layer_weights(self) -> int:
        """Elements of one layer's weight matrices, which is also its MACs per row outside attention."""
        projections = 2 * self.q_width + 2 * self.kv_width
        return self.hidden * (projections + 3 * self.ffn)

    @property
    def head_weights(self) -> int:
        """Elements of the LM head, hidden x vocab."""
        return self.hidden * self.vocab

    @property
    def parameters(self) -> int:
        """All parameters: embedding, layers with norms and biases, final norm, LM head unless tied."""
        bias = self.q_width + 2 * self.kv_width if self.qkv_bias else 0
        layer = self.layer_weights + bias + 2 * self.hidden
        tables = 1 if self.tied else 2
        return self.layers * layer + self.hidden + tables * self.head_weights

    def kv_bytes_per_token(self, bits: int | float | Fraction = 16) -> int:
        """Bytes of K and V of one token over all layers, at `bits` per element including any scale.

        MXINT4 with one 8-bit scale in 32 is 4.25 bits. Raises WorkloadError if that is no whole number.
        """
        total = 2 * self.layers * self.kv_width * Fraction(bits) / 8
        if total <= 0 or total.denominator != 1:
            raise WorkloadError(f"model {self.name}: {bits} bits an element gives {float(total)} bytes a token; "
                                "expected a positive whole number")
        return int(total)

    def shrunk(
        self,
        *,
        layers: int | None = None,
        hidden: int | None = None,
        heads: int | None = None,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        ffn: int | None = None,
        vocab: int | None = None,
        name: str | None = None,
    ) -> ModelShape:
        """A copy with some dimensions replaced, for functional runs; the mask id moves to the last id if cut off."""
        sizes = {"layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
                 "head_dim": head_dim, "ffn": ffn, "vocab": vocab}
        changes: dict[str, Any] = {key: value for key, value in sizes.items() if value is not None}
        if self.mask_id is not None and vocab is not None and self.mask_id >= vocab:
            changes["mask_id"] = vocab - 1
        return attrs.evolve(self, name=name or f"{self.name}-shrunk", **changes)
