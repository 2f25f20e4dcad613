"""The tiny model's weights: reading them, folding what programs fold, and a variant with outlier channels in K.

Matrices are float32 (outputs, inputs), as PyTorch keeps them:

    embedding.weight (VOCAB, hidden)   head.weight (VOCAB, hidden)   norm.weight (hidden,)
    layers.I.{norm1,norm2}.weight (hidden,)
    layers.I.{q,k,v,o,gate,up,down}.weight
"""

from __future__ import annotations

from importlib import resources
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from workloads.shape import ModelShape
from workloads.tiny.tasks import MASK, VOCAB

Floats: TypeAlias = npt.NDArray[np.float32]

ROPE_THETA, NORM_EPS = 10000.0, 1e-5
HEAD_DIM = 32


@attrs.frozen(kw_only=True, eq=False)
class Checkpoint:
    """Named weights; `query_scale` is what queries are multiplied by, 1 where that is folded into their weights."""

    weights: dict[str, Floats]
    query_scale: float = HEAD_DIM**-0.5

    def __getitem__(self, name: str) -> Floats:
        return self.weights[f"{name}.weight"]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return sum(name.endswith("q.weight") for name in self.weights)

    @property
    def shape(self) -> ModelShape:
        """The model's shape, for lowering."""
        vocab, hidden = self["embedding"].shape
        return ModelShape(
            name="tiny", layers=self.layers, hidden=hidden, heads=self["layers.0.q"].shape[0] // HEAD_DIM,
            kv_heads=self["layers.0.k"].shape[0] // HEAD_DIM, head_dim=HEAD_DIM, ffn=self["layers.0.gate"].shape[0],
            vocab=vocab, mask_id=MASK, tied=False, rope_theta=ROPE_THETA, qkv_bias=False, norm_eps=NORM_EPS,
            mlp="swiglu", kind="dllm", source="workloads/tiny/README.md",
        )  # fmt: skip


def load_checkpoint() -> Checkpoint:
    """The trained weights of this folder; they are stored as BF16 bits."""
    with resources.files("workloads.tiny").joinpath("weights.npz").open("rb") as file, np.load(file) as archive:
        return Checkpoint(weights={name: from_bits(archive[name]) for name in archive.files})


def from_bits(bits: npt.NDArray[np.uint16]) -> Floats:
    """BF16 bits as float32."""
    values: Floats = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def random_checkpoint(seed: int, layers: int = 2, hidden: int = 128, ffn: int = 384) -> Checkpoint:
    """Untrained weights of a model of that size, for tests; it never prefers the mask token."""
    draw = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int) -> Floats:
        values: Floats = (draw.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
        return values

    weights = {"embedding": matrix(VOCAB, hidden) * 8, "head": matrix(VOCAB, hidden) * 4}
    weights["head"][MASK] = 0
    weights["norm"] = draw.uniform(0.5, 1.5, hidden).astype(np.float32)
    for layer in range(layers):
        at = f"layers.{layer}."
        weights |= {at + name: draw.uniform(0.5, 1.5, hidden).astype(np.float32) for name in ("norm1", "norm2")}
        weights |= {at + name: matrix(hidden, hidden) for name in "qkvo"}
        weights |= {at + name: matrix(ffn, hidden) for name in ("gate", "up")}
        weights[at + "down"] = matrix(hidden, ffn)
    return Checkpoint(weights={f"{name}.weight": value for name, value in weights.items()})


def fold(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with norm gains of 1 and queries not scaled: both go into the matrices that follow."""
    weights = dict(checkpoint.weights)

    def scale(name: str, factors: Floats | np.float32) -> None:
        weights[f"{name}.weight"] = weights[f"{name}.weight"] * factors

    def take(norm: str, followers: list[str]) -> None:
        gain = weights[f"{norm}.weight"]
        for follower in followers:
            scale(follower, gain)
        weights[f"{norm}.weight"] = np.ones_like(gain)

    for layer in range(checkpoint.layers):
        at = f"layers.{layer}."
        take(at + "norm1", [at + name for name in "qkv"])
        take(at + "norm2", [at + "gate", at + "up"])
        scale(at + "q", np.float32(checkpoint.query_scale))
    take("norm", ["head"])
    return Checkpoint(weights=weights, query_scale=1.0)


def with_outliers(checkpoint: Checkpoint, seed: int = 0, pairs: int = 3, gain: int = 32) -> Checkpoint:
    """The same model in exact arithmetic, but in every head `pairs` rotary pairs of the keys are `gain` times larger.

    Both rows of a pair in W_K are multiplied by a power of two and those in W_Q divided by it, so that the rotation
    mixes equal factors and every product of a query with a key stays what it was.
    """
    draw = np.random.default_rng(seed)
    weights = dict(checkpoint.weights)
    half = HEAD_DIM // 2
    for layer in range(checkpoint.layers):
        key, query = f"layers.{layer}.k.weight", f"layers.{layer}.q.weight"
        factors = np.ones(len(weights[key]), np.float32)
        for head in range(len(factors) // HEAD_DIM):
            chosen = head * HEAD_DIM + draw.choice(half, pairs, replace=False)
            factors[chosen] = factors[chosen + half] = gain
        weights[key] = weights[key] * factors[:, None]
        weights[query] = weights[query] / factors[:, None]
    return attrs.evolve(checkpoint, weights=weights)
