"""The tiny model and LLaDA's sampler in plain numpy: no instructions, no tiles, no memory.

Every step of the arithmetic can be rounded to a format (`Numerics`), where a machine that keeps values in it
would round; with all formats fp32 this is the model as it was trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from archsim.isa.semantics.methods import METHODS, Method
from archsim.isa.semantics.numbers import BLOCK, NUMBERS, Reals, round_trip
from archsim.isa.semantics.smoothing import Scheme, Smoothing, calibrate, fold_output, fold_query, load, rotate, store
from workloads.tiny.checkpoint import HEAD_DIM, NORM_EPS, ROPE_THETA, Checkpoint
from workloads.tiny.tasks import MASK

Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]

CACHES = ("none", "prefix", "dual")


@attrs.frozen(kw_only=True)
class Numerics:
    """Formats of: matrices, what multiplies them, values between operations, embedding and rotary tables, logits.

    `method` says how keys and values are stored; None: as they are.
    """

    weights: str = "fp32"
    acts: str = "fp32"
    chip: str = "fp32"
    tables: str = "fp32"
    logits: str = "fp32"
    method: Method | None = None


FLOAT = Numerics()
"""Nothing is rounded beyond float32."""


def stored_as(number: str, scheme: str) -> Method | None:
    """Keys and values in the format, by a scheme of the lowering; None for fp32."""
    if number == "fp32":
        return None
    if scheme == "kivi":
        return METHODS[scheme]
    both = attrs.evolve(METHODS[scheme].k, number=number)
    return Method(k=both, v=both, about=f"{scheme} {number}")


def through(values: Floats, name: str) -> Floats:
    """What is left of values in a format, blocked along the last axis."""
    return values if name == "fp32" else round_trip(values, NUMBERS[name]).astype(np.float32)


@attrs.define(eq=False)
class Store:
    """Keys or values of one layer, (sequences, heads, positions, HEAD_DIM), as they lie in the cache."""

    scheme: Scheme | None
    chip: Callable[[Floats | Reals], Floats]
    """Rounds values to what is kept between operations."""
    smoothing: Smoothing | None = None
    rows: Reals = attrs.field(factory=lambda: np.zeros(0))

    def write(self, rows: Floats, start: int, *, whole: bool) -> None:
        """Store rows from position `start` on; `whole`: they are all there are, and factors are taken anew."""
        if self.scheme is not None and self.scheme.by_token and not whole:
            rows, start = self._groups(rows, start)
        if self.scheme is None:
            kept: Reals = rows.astype(np.float64)
        else:
            wide = rows.astype(np.float64)
            if self.scheme.rotated:
                wide = self.chip(rotate(wide)).astype(np.float64)
            plain = attrs.evolve(self.scheme, rotated=False)
            if whole and (self.smoothing is None or self.scheme.calibrated != "once"):
                self.smoothing = calibrate(wide, plain)
            assert self.smoothing is not None
            # Codes times scales are exact in float32; with zero points they are rounded to it.
            kept = load(store(wide, plain, self.smoothing), plain).astype(np.float32).astype(np.float64)
        if whole:
            self.rows = kept
        else:
            self.rows[:, :, start : start + rows.shape[2]] = kept

    def _groups(self, rows: Floats, start: int) -> tuple[Floats, int]:
        """The rows with those that share a group along positions with them, as they are stored; where they start."""
        end = start + rows.shape[2]
        first = start // BLOCK * BLOCK
        merged = self.rows[:, :, first : -(-end // BLOCK) * BLOCK].astype(np.float32)
        merged[:, :, start - first : end - first] = rows
        return merged, first

    def query(self, rows: Floats) -> Floats:
        """Queries as stored keys want them."""
        if self.scheme is None or self.smoothing is None:
            return rows
        return fold_query(rows.astype(np.float64), self.scheme, self.smoothing).astype(np.float32)

    def output(self, rows: Floats) -> Floats:
        """Sums of stored values in the original coordinates."""
        if self.scheme is None or self.smoothing is None:
            return rows
        return fold_output(rows.astype(np.float64), self.scheme, self.smoothing).astype(np.float32)


class Reference:
    """The model with its caches."""

    def __init__(self, checkpoint: Checkpoint, numerics: Numerics = FLOAT) -> None:
        self.numerics = numerics
        self.checkpoint = checkpoint
        self.matrices = {
            name: through(weight, numerics.weights).astype(np.float64)
            for name, weight in checkpoint.weights.items()
            if weight.ndim == 2 and not name.startswith("embedding")
        }
        self.embedding = through(checkpoint["embedding"], numerics.tables)
        method = numerics.method
        pair = (method.k, method.v) if method else (None, None)
        self.stores = [(Store(pair[0], self.chip), Store(pair[1], self.chip)) for _ in range(checkpoint.layers)]

    def chip(self, values: Floats | Reals) -> Floats:
        """Values as they are kept between operations."""
        return through(values.astype(np.float32), self.numerics.chip)

    def multiply(self, rows: Floats, name: str) -> Floats:
        """Rows times a matrix of the checkpoint."""
        flat = through(rows, self.numerics.acts).reshape(-1, rows.shape[-1]).astype(np.float64)
        return self.chip((flat @ self.matrices[f"{name}.weight"].T).reshape(*rows.shape[:-1], -1))

    def norm(self, rows: Floats, name: str) -> Floats:
        """RMSNorm."""
        squares = self.chip(self.chip(rows * rows).sum(axis=-1, keepdims=True, dtype=np.float64))
        mean = self.chip(squares * np.float32(1 / rows.shape[-1]))
        inverse = self.chip(1 / np.sqrt(self.chip(mean + np.float32(NORM_EPS))))
        return self.chip(self.chip(rows * inverse) * self.checkpoint[name])

    def rotate(self, rows: Floats, positions: Ids) -> Floats:
        """Rotary embedding of (..., rows, HEAD_DIM), in the half-split form."""
        rates = ROPE_THETA ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angles = np.tile(positions[:, None] * rates, 2)
        cosines, sines = (through(f(angles).astype(np.float32), self.numerics.tables) for f in (np.cos, np.sin))
        first, second = np.split(rows, 2, axis=-1)
        turned = np.concatenate([-second, first], axis=-1)
        return self.chip(self.chip(rows * cosines) + self.chip(turned * sines))

    def forward(self, ids: Ids, start: int, head: slice) -> Floats:
        """Logits (sequences, head rows, VOCAB) from token ids (sequences, rows) of positions from `start` on.

        Where `start` is 0 the rows are the whole canvas; else earlier forwards have filled the caches. `head` are the
        rows that meet the LM head, counted from `start`.
        """
        positions = np.arange(start, start + ids.shape[1])
        x = self.chip(self.embedding[ids])
        for layer in range(self.checkpoint.layers):
            at = f"layers.{layer}."
            x = self.chip(x + self.multiply(self._attention(self.norm(x, at + "norm1"), positions, layer), at + "o"))
            h = self.norm(x, at + "norm2")
            gate = self.multiply(h, at + "gate")
            sigmoid = self.chip(1 / self.chip(self.chip(np.exp(-gate)) + np.float32(1)))
            inner = self.chip(self.chip(gate * sigmoid) * self.multiply(h, at + "up"))
            x = self.chip(x + self.multiply(inner, at + "down"))
        logits = self.multiply(self.norm(x[:, head], "norm"), "head")
        return through(logits, self.numerics.logits)

    def _attention(self, h: Floats, positions: Ids, layer: int) -> Floats:
        """Weighted values (sequences, rows, hidden) of normalised rows."""
        at, whole, (keys, values) = f"layers.{layer}.", positions[0] == 0, self.stores[layer]
        k = self.rotate(self._heads(self.multiply(h, at + "k")), positions)
        keys.write(k, int(positions[0]), whole=bool(whole))
        values.write(self._heads(self.multiply(h, at + "v")), int(positions[0]), whole=bool(whole))
        q = self.rotate(self._heads(self.multiply(h, at + "q")), positions)
        q = self.chip(keys.query(self.chip(q * np.float32(self.checkpoint.query_scale))))
        scores = self.chip(through(q, self.numerics.acts) @ np.swapaxes(keys.rows, -1, -2))
        powers = self.chip(np.exp(self.chip(scores - scores.max(axis=-1, keepdims=True))))
        share = self.chip(1 / self.chip(powers.sum(axis=-1, keepdims=True, dtype=np.float64)))
        sums = self.chip(through(powers, self.numerics.acts) @ values.rows)
        out = self.chip(values.output(self.chip(sums * share)))
        return np.swapaxes(out, 1, 2).reshape(h.shape)

    @staticmethod
    def _heads(rows: Floats) -> Floats:
        """(sequences, rows, hidden) as (sequences, heads, rows, HEAD_DIM)."""
        return np.swapaxes(rows.reshape(*rows.shape[:2], -1, HEAD_DIM), 1, 2)


@attrs.frozen(kw_only=True, eq=False)
class Choice:
    """One forward's choices: tokens and confidences (sequences, block rows), and which rows took their token.

    `logits` are what they were made from, for the rows that were `masked`; `gap` is the distance of the two largest
    logits of each row, in units of the larger one's last place in float32.
    """

    tokens: Ids
    confidence: Floats
    taken: npt.NDArray[np.bool_]
    gap: Reals
    logits: Floats
    masked: npt.NDArray[np.bool_]


def choose(model: Reference, logits: Floats, masked: npt.NDArray[np.bool_], count: int) -> Choice:
    """Tokens of the `count` most confident masked rows of each sequence; of equal ones the first."""
    tokens = logits.argmax(axis=-1)
    top = logits.max(axis=-1, keepdims=True)
    total = model.chip(model.chip(np.exp(model.chip(logits - top))).sum(axis=-1, dtype=np.float64))
    confidence = model.chip(1 / total)
    order = np.argsort(np.where(masked, -confidence, np.inf), axis=-1, kind="stable")[:, :count]
    taken = np.zeros(masked.shape, np.bool_)
    np.put_along_axis(taken, order, values=True, axis=-1)
    second = np.partition(logits, -2, axis=-1)[..., -2]
    gap = (top[..., 0] - second) / np.spacing(np.abs(top[..., 0]))
    return Choice(tokens=tokens, confidence=confidence, taken=taken & masked, gap=gap.astype(np.float64),
                  logits=logits, masked=masked)


def generate(
    model: Reference,
    prompts: Ids,
    *,
    gen: int,
    block: int,
    steps: int,
    cache: str,
    sampler: Reference | None = None,
    mask: int = MASK,
) -> tuple[Ids, list[Choice]]:
    """LLaDA's semi-autoregressive sampling, low-confidence remasking, temperature 0.

    `prompts` (sequences, tokens); `steps` are of the whole generation. Returns the canvases, and what each forward
    chose. `mask` is the mask token. `sampler`, if given, rounds the sampler's arithmetic instead of `model`.
    After ML-GSAI/LLaDA b7e6c35 generate.py, with the caches of NVlabs/Fast-dLLM 24cc59e llada/generate.py.
    """
    sequences, prompt = prompts.shape
    canvas = np.concatenate([prompts, np.full((sequences, gen), mask)], axis=1)
    each = steps * block // gen
    choices: list[Choice] = []
    for first in range(prompt, prompt + gen, block):
        own = slice(first, first + block)
        for step in range(each):
            rows = slice(0, prompt + gen)
            if cache != "none" and step:
                rows = own if cache == "dual" else slice(first, prompt + gen)
            head = slice(first - rows.start, first - rows.start + block)
            logits = model.forward(canvas[:, rows], rows.start, head)
            count = block // each + (step < block % each)
            choice = choose(sampler or model, logits, canvas[:, own] == mask, count)
            canvas[:, own] = np.where(choice.taken, choice.tokens, canvas[:, own])
            choices.append(choice)
    return canvas, choices
