"""Any ModelShape in plain numpy, and random weights for it: what programs are compared with."""

from __future__ import annotations

import numpy as np

from workloads.experts import Experts
from workloads.shape import ModelShape

Array = np.ndarray


def random_weights(shape: ModelShape, seed: int) -> dict[str, Array]:
    """Untrained weights as `workloads.lowering.image` takes them; the mask token has no logit to speak of."""
    draw = np.random.default_rng(seed)

    def matrix(outputs: int, inputs: int, gain: float = 1.0) -> Array:
        return (gain * draw.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)

    def mlp(at: str, width: int) -> dict[str, Array]:
        names = ("gate", "up") if shape.mlp == "swiglu" else ("up",)
        out = {f"{at}{name}.weight": matrix(width, shape.hidden) for name in names}
        return out | {f"{at}down.weight": matrix(shape.hidden, width)}

    weights = {"head.weight": matrix(shape.vocab, shape.hidden, 4)}
    if shape.mask_id is not None and shape.mask_id < shape.vocab:
        weights["head.weight"][shape.mask_id] = 0
    weights["embedding.weight"] = matrix(shape.vocab + shape.input_only, shape.hidden, 8)
    if shape.tied:
        weights["embedding.weight"] = weights["head.weight"]
    for layer in range(shape.layers):
        at = f"layers.{layer}."
        weights |= {f"{at}q.weight": matrix(shape.q_width, shape.hidden, 0.4 if not shape.qk_norm else 1)}
        weights |= {f"{at}{name}.weight": matrix(shape.kv_width, shape.hidden) for name in "kv"}
        weights |= {f"{at}o.weight": matrix(shape.hidden, shape.q_width)}
        if shape.qkv_bias:
            widths = {"q": shape.q_width, "k": shape.kv_width, "v": shape.kv_width}
            weights |= {f"{at}{name}.bias": draw.normal(0, 0.3, width).astype(np.float32)
                        for name, width in widths.items()}  # fmt: skip
        if shape.qk_norm:
            for name in "qk":
                gain = draw.uniform(0.2, 0.8, shape.head_dim).astype(np.float32)
                weights[f"{at}{name}_norm.weight"] = gain
        if layer < shape.dense_layers:
            weights |= mlp(at, shape.ffn)
            continue
        experts = shape.experts
        assert experts is not None
        weights[f"{at}router.weight"] = matrix(experts.count, shape.hidden)
        if experts.bias:
            weights[f"{at}router.bias"] = draw.uniform(-0.1, 0.1, experts.count).astype(np.float32)
        if experts.shared_ffn:
            weights |= mlp(f"{at}shared.", experts.shared_ffn)
        for index in range(experts.count):
            weights |= mlp(f"{at}experts.{index}.", experts.ffn)
    return weights


class Plain:
    """The model with its caches of keys and values, in float64; `routed` remembers every choice of experts."""

    def __init__(self, shape: ModelShape, weights: dict[str, Array]) -> None:
        self.shape, self.weights = shape, {name: value.astype(np.float64) for name, value in weights.items()}
        self.caches: dict[tuple[int, str], Array] = {}
        self.visible: Array | None = None
        """Keys that each row of the next forwards sees (rows, keys); None: all."""
        self.depths: Array | None = None
        """Rotary positions of their rows, counted from the first one's; None: one after another."""
        self.routed: list[Array] = []
        """For every layer with experts passed: experts of every row (sequences, rows, top_k)."""

    def chip(self, values: Array) -> Array:
        """Nothing is rounded."""
        return values

    def forward(self, ids: Array, start: int, head: slice) -> Array:
        """Logits (sequences, head rows, vocab) of token ids (sequences, rows) of positions from `start` on."""
        x = self.weights["embedding.weight"][ids]
        for layer in range(self.shape.layers):
            x = x + self._attention(self._norm(x), start, f"layers.{layer}.", layer)
            normed = self._norm(x)
            if layer < self.shape.dense_layers:
                x = x + self._mlp(normed, f"layers.{layer}.")
            else:
                x = x + self._mixture(normed, f"layers.{layer}.")
        return self._norm(x[:, head]) @ self.weights["head.weight"].T

    def _norm(self, x: Array) -> Array:
        if self.shape.norm == "layer":
            x = x - x.mean(axis=-1, keepdims=True)
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.shape.norm_eps)

    def _heads(self, rows: Array, gain: str) -> Array:
        """(sequences, heads, rows, head_dim), normalised where heads are."""
        out = np.swapaxes(rows.reshape(*rows.shape[:2], -1, self.shape.head_dim), 1, 2)
        if gain not in self.weights:
            return out
        return out / np.sqrt((out * out).mean(axis=-1, keepdims=True) + self.shape.norm_eps) * self.weights[gain]

    def _rotate(self, rows: Array, start: int) -> Array:
        turned, half = self.shape.turned, self.shape.turned // 2
        rates = self.shape.rope_theta ** (-np.arange(0, turned, 2) / turned)
        depths = np.arange(rows.shape[2]) if self.depths is None else self.depths
        angles = (start + depths)[:, None] * rates
        first, second, rest = rows[..., :half], rows[..., half:turned], rows[..., turned:]
        cosines, sines = np.cos(angles), np.sin(angles)
        return np.concatenate(
            [first * cosines - second * sines, second * cosines + first * sines, rest], axis=-1
        )

    def _store(self, layer: int, name: str, rows: Array, start: int) -> Array:
        key = (layer, name)
        if start == 0:
            self.caches[key] = rows
        elif start == self.caches[key].shape[2]:
            self.caches[key] = np.concatenate([self.caches[key], rows], axis=2)
        else:
            self.caches[key][:, :, start : start + rows.shape[2]] = rows
        return np.repeat(self.caches[key], self.shape.heads // self.shape.kv_heads, axis=1)

    def _attention(self, h: Array, start: int, at: str, layer: int) -> Array:
        q, k, v = (h @ self.weights[f"{at}{name}.weight"].T + self.weights.get(f"{at}{name}.bias", 0) for name in "qkv")
        q = self._rotate(self._heads(q, f"{at}q_norm.weight"), start)
        keys = self._store(layer, "k", self._rotate(self._heads(k, f"{at}k_norm.weight"), start), start)
        values = self._store(layer, "v", self._heads(v, ""), start)
        scores = q @ np.swapaxes(keys, -1, -2)
        if self.visible is not None:
            scores = np.where(self.visible, scores, -np.inf)
        if self.shape.kind == "ar":
            seen = np.arange(keys.shape[2]) <= start + np.arange(q.shape[2])[:, None]
            scores = np.where(seen, scores, -np.inf)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        out = powers / powers.sum(axis=-1, keepdims=True) @ values
        return np.swapaxes(out, 1, 2).reshape(*h.shape[:2], -1) @ self.weights[f"{at}o.weight"].T

    def _mlp(self, h: Array, at: str) -> Array:
        up = h @ self.weights[f"{at}up.weight"].T
        if self.shape.mlp == "gelu":
            inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        else:
            gate = h @ self.weights[f"{at}gate.weight"].T
            inner = gate / (1 + np.exp(-gate)) * up
        return inner @ self.weights[f"{at}down.weight"].T

    def _mixture(self, h: Array, at: str) -> Array:
        experts = self.shape.experts
        assert experts is not None
        chosen, shares = route(h @ self.weights[f"{at}router.weight"].T, experts, self.weights.get(f"{at}router.bias"))
        self.routed.append(chosen)
        out = self._mlp(h, f"{at}shared.") if experts.shared_ffn else np.zeros_like(h)
        for index in range(experts.count):
            share = np.where(chosen == index, shares, 0).sum(axis=-1, keepdims=True)
            if share.any():
                out = out + share * self._mlp(h, f"{at}experts.{index}.")
        return out


def route(logits: Array, experts: Experts, bias: Array | None) -> tuple[Array, Array]:
    """Experts of every row and their shares, both (..., top_k)."""
    if experts.scores == "softmax":
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores = powers / powers.sum(axis=-1, keepdims=True)
    else:
        scores = 1 / (1 + np.exp(-logits))
    choice = scores if bias is None else scores + bias
    if experts.groups > 1:
        grouped = choice.reshape(*choice.shape[:-1], experts.groups, -1)
        best = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
        dropped = np.argsort(-best, axis=-1)[..., experts.top_groups :]
        mask = np.ones_like(best)
        np.put_along_axis(mask, dropped, 0, axis=-1)
        choice = (grouped * mask[..., None]).reshape(choice.shape)
    chosen = np.argsort(-choice, axis=-1)[..., : experts.top_k]
    shares = np.take_along_axis(scores, chosen, axis=-1)
    if experts.normalized:
        shares = shares / shares.sum(axis=-1, keepdims=True)
    return chosen, shares * experts.scale
