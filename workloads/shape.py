"""The shape of a model: the dimensions a lowering needs, and what follows from them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.experts import Experts

KINDS = ("dllm", "ar")
MLPS = {"swiglu": 3, "gelu": 2}
"""Matrices of an MLP: gate, up and down, or up and down."""
NORMS = {"rms": 1, "layer": 1}
"""Vectors of weights of a norm; a layer norm here has a gain and no bias."""
_DIMENSIONS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


@attrs.frozen(kw_only=True)
class ModelShape:
    """The shape of one decoder-style transformer; raises WorkloadError where it contradicts itself.

    Every layer is norm, attention with rotary positions, norm, MLP or mixture of experts. `kind` is "dllm"
    for masked diffusion (bidirectional attention, `mask_id` set) or "ar" for causal, left to right.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    """Width of the inner rows of a layer's MLP, where that is no mixture of experts."""
    vocab: int
    """Columns of the LM head, and rows of the embedding table but for `input_only`."""
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
    input_only: int = 0
    """Further rows of the embedding table, of tokens that have no logit."""
    norm: str = "rms"
    qk_norm: bool = False
    """Whether every head's query and key rows pass an RMSNorm before rotation."""
    rotary_dim: int | None = None
    """Lanes of a head that rotary positions turn; None: all."""
    experts: Experts | None = None
    """The mixture of experts that replaces the MLP of all layers but the first `experts.first_dense`."""

    def __attrs_post_init__(self) -> None:
        for key in _DIMENSIONS:
            value = getattr(self, key)
            self._require(type(value) is int and value > 0, key, "a positive integer")
        self._require(self.heads % self.kv_heads == 0, "kv_heads", f"a divisor of heads ({self.heads})")
        self._require(self.head_dim % 2 == 0, "head_dim", "an even number (rotary pairs)")
        self._require(self.mlp in MLPS, "mlp", f"one of {', '.join(MLPS)}")
        self._require(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}")
        if self.kind == "dllm":
            ids = self.vocab + self.input_only
            valid = type(self.mask_id) is int and 0 <= self.mask_id < ids
            self._require(valid, "mask_id", f"a token id below vocab ({ids})")
        for key in ("rope_theta", "norm_eps"):
            value = getattr(self, key)
            self._require(isinstance(value, (int, float)) and value > 0, key, "a positive number")
        for key in ("tied", "qkv_bias", "qk_norm"):
            self._require(isinstance(getattr(self, key), bool), key, "true or false")
        self._require(type(self.input_only) is int and self.input_only >= 0, "input_only", "a non-negative integer")
        self._require(self.norm in NORMS, "norm", f"one of {', '.join(NORMS)}")
        turned = self.rotary_dim
        even = turned is None or (type(turned) is int and 0 < turned <= self.head_dim and turned % 2 == 0)
        self._require(even, "rotary_dim", f"an even number up to head_dim ({self.head_dim})")
        self._check_experts()

    def _check_experts(self) -> None:
        if self.experts is None:
            return
        where = f"model {self.name}"
        self.experts.check(where)
        if self.experts.first_dense >= self.layers:
            found = f"{where}: first_dense is {self.experts.first_dense} of {self.layers} layers"
            raise WorkloadError(f"{found}; expected at least one layer of experts")
        if self.mlp != "swiglu":
            raise WorkloadError(f"{where}: mlp is {self.mlp!r}; expected swiglu in a mixture of experts")

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
    def turned(self) -> int:
        """Lanes of a head that rotary positions turn."""
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    @property
    def dense_layers(self) -> int:
        """Layers with an MLP; the others, behind them, have experts."""
        return self.layers if self.experts is None else self.experts.first_dense

    @property
    def attention_weights(self) -> int:
        """Elements of one layer's projections."""
        return self.hidden * 2 * (self.q_width + self.kv_width)

    @property
    def layer_weights(self) -> int:
        """Elements of the weight matrices of a layer with an MLP, also its MACs per row outside attention."""
        return self.attention_weights + self.hidden * MLPS[self.mlp] * self.ffn

    @property
    def expert_layer_weights(self) -> int:
        """Those of a layer with experts, without the routed ones: projections, router, shared experts."""
        if self.experts is None:
            return 0
        return self.attention_weights + self.hidden * (self.experts.count + 3 * self.experts.shared_ffn)

    @property
    def expert_weights(self) -> int:
        """Elements of one routed expert."""
        return 0 if self.experts is None else 3 * self.hidden * self.experts.ffn

    @property
    def head_weights(self) -> int:
        """Elements of the LM head, hidden x vocab."""
        return self.hidden * self.vocab

    @property
    def parameters(self) -> int:
        """All parameters: embedding, layers with norms and biases, final norm, LM head unless tied."""
        return self._parameters(0 if self.experts is None else self.experts.count)

    @property
    def active_parameters(self) -> int:
        """Those that a token meets: of the routed experts its top k only."""
        return self._parameters(0 if self.experts is None else self.experts.top_k)

    @property
    def _router_bias(self) -> int:
        return self.experts.count if self.experts is not None and self.experts.bias else 0

    def _parameters(self, experts: int) -> int:
        """Parameters with so many routed experts a layer."""
        small = 2 * self.hidden + (2 * self.head_dim if self.qk_norm else 0)
        small += self.q_width + 2 * self.kv_width if self.qkv_bias else 0
        routed = self.layers - self.dense_layers
        layers = self.dense_layers * self.layer_weights + self.layers * small
        layers += routed * (self.expert_layer_weights + experts * self.expert_weights + self._router_bias)
        tables = self.head_weights * (1 if self.tied else 2) + self.input_only * self.hidden
        return layers + self.hidden + tables

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
        experts: int | None = None,
        expert_ffn: int | None = None,
        name: str | None = None,
    ) -> ModelShape:
        """A copy with some dimensions replaced, for functional runs.

        The mask id moves to the last id if cut off; rotated lanes stay the same share of a head; of a mixture
        of experts, `experts` and `expert_ffn` are replaced, groups and dense layers cut to what is left.
        """
        sizes = {"layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
                 "head_dim": head_dim, "ffn": ffn, "vocab": vocab}
        changes: dict[str, Any] = {key: value for key, value in sizes.items() if value is not None}
        if self.mask_id is not None and vocab is not None and self.mask_id >= vocab:
            changes["mask_id"] = vocab + self.input_only - 1
        if self.rotary_dim is not None and head_dim is not None:
            changes["rotary_dim"] = self.rotary_dim * head_dim // self.head_dim
        if self.experts is not None:
            changes["experts"] = self.experts.shrunk(layers or self.layers, experts, expert_ffn)
        return attrs.evolve(self, name=name or f"{self.name}-shrunk", **changes)
