"""What a user may choose about a lowering, beyond model, schedule and machine."""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError
from archsim.isa.formats import BY_CHANNEL, FORMATS, KV, KV_BY_CHANNEL, Format
from workloads.lowering.sampling_variant import GREEDY, SamplingVariant

KV_SCHEMES = {"none": 0, "rtn": 1, "hadamard": 1, "baos": 2, "static": 2, "kivi": 1}
"""Quantisation of the KV cache, as K_STORE's scheme operand; `kivi` has another one for keys."""
LOGITS = ("spill", "onchip", "online")
ROPE_CACHE = ("post", "pre")


@attrs.frozen(kw_only=True)
class LoweringOptions:
    """Number formats, KV scheme, where logits go. Raises WorkloadError for what cannot be lowered."""

    weights: str = "mxint4"
    kv: str = "mxint4"
    acts: str = "mxint8"
    tables: str = "bf16"
    """Embedding, rotary tables, masks, biases, and rows spilled between row tiles."""
    logits_format: str = "mxfp8"
    """Spilled logits."""
    kv_scheme: str = "baos"
    logits: str = "spill"
    sampling: SamplingVariant = GREEDY
    """How rows are sampled, where the schedule leaves it open."""
    rope_cache: str = "post"
    seed: int = 0
    routing_seed: int = 0
    routing: str | None = None
    """File of recorded choices of experts; None: drawn from `routing_seed`, every expert as likely."""

    def __attrs_post_init__(self) -> None:
        self._one_of("kv", tuple(FORMATS))
        for name in ("weights", "acts", "logits_format"):
            self._one_of(name, tuple(name for name, fmt in FORMATS.items() if not fmt.asymmetric))
        self._one_of("tables", tuple(name for name, fmt in FORMATS.items() if not fmt.block))
        self._one_of("kv_scheme", tuple(KV_SCHEMES))
        asymmetric = self.kv_format.asymmetric
        if asymmetric is not (self.kv_scheme == "kivi"):
            wanted = ", ".join(name for name, fmt in FORMATS.items() if fmt.asymmetric is not asymmetric)
            raise WorkloadError(f"option kv: {self.kv!r} with kv-scheme {self.kv_scheme}; expected {wanted}")
        self._one_of("logits", LOGITS)
        self._one_of("rope_cache", ROPE_CACHE)
        if self.sampling.chunk and self.logits != "spill":
            raise WorkloadError(f"option sampling: chunks with logits {self.logits}; expected logits spilled")
        if self.rope_cache == "pre":
            raise WorkloadError("option rope-cache: 'pre' would rotate the whole cache again at every step, which "
                                "this lowering does not do; expected 'post'")

    def _one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise WorkloadError(f"option {name.replace('_', '-')}: {value!r}; expected one of {', '.join(known)}")

    @property
    def weight_format(self) -> Format:
        """Format of all matrices."""
        return FORMATS[self.weights]

    @property
    def kv_format(self) -> Format:
        """Format of cached keys and values."""
        return FORMATS[self.kv]

    @property
    def table_format(self) -> Format:
        """Format of tables and spilled rows."""
        return FORMATS[self.tables]

    @property
    def logit_format(self) -> Format:
        """Format of spilled logits."""
        return FORMATS[self.logits_format]

    def store_scheme(self, *, value: bool) -> int:
        """K_STORE's scheme operand for keys or values."""
        return BY_CHANNEL if self.kv_scheme == "kivi" and not value else KV_SCHEMES[self.kv_scheme]

    def tile_precision(self, *, value: bool) -> int:
        """H_PREFETCH_M's precision operand for tiles of keys or values."""
        return KV_BY_CHANNEL if self.store_scheme(value=value) == BY_CHANNEL else KV

    @property
    def smoothed(self) -> bool:
        """Whether cached rows are scaled per channel, and queries and outputs scaled back."""
        return self.kv_scheme in ("baos", "static")

    @property
    def rotated(self) -> bool:
        """Whether cached rows, queries and outputs pass a Hadamard transform of each head's lanes."""
        return self.kv_scheme == "hadamard"
