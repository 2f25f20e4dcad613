"""Error of KV quantisation methods on a synthetic generation with a dual cache.

At a block's warm step all rows are computed and each method takes its channel factors; at refine steps only the rows of
the block change. Errors are measured at three refine steps of every block but the first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from archsim.isa.semantics.methods import Method
from archsim.isa.semantics.numbers import Reals
from archsim.isa.semantics.smoothing import Scheme, Smoothing, calibrate, fold_output, fold_query, load, store
from workloads.study.jobs import in_order
from workloads.study.methods import STUDIED
from workloads.study.synthetic import BLOCK_ROWS, BLOCKS, PROMPT, ROWS, STEPS, Generation, Scenario, rope

MEASURED_STEPS = (1, 4, 7)
_POSITIONS = np.arange(ROWS)


@attrs.frozen(kw_only=True)
class Errors:
    """Mean errors of a method: energy of the error over that of the signal in dB, KL divergence in nats."""

    k: float
    logits: float
    v: float
    output: float
    kl: float
    exceeded: float
    """Share of the block's elements, of K and V, beyond the calibrated range."""


@attrs.frozen(kw_only=True, eq=False)
class Sample:
    """One refine step: exact K after rotary embedding, V and Q, and the rows of the block."""

    k: Reals
    v: Reals
    q: Reals
    rows: slice


@attrs.define(eq=False)
class Cache:
    """K or V of a generation in one scheme: the factors, and what attention reads."""

    scheme: Scheme
    smoothing: Smoothing | None = None
    seen: Reals = attrs.field(factory=lambda: np.zeros(0))

    def warm(self, rows: Reals) -> None:
        """Take factors, unless they are taken once and for ever, and store all rows."""
        if self.smoothing is None or self.scheme.calibrated != "once":
            self.smoothing = calibrate(rows, self.scheme)
        self.seen = load(store(rows, self.scheme, self.smoothing), self.scheme)

    def refine(self, rows: Reals, block: slice) -> int:
        """Store the rows of the block over the old ones; returns how many elements lie beyond the calibrated range."""
        if self.scheme.calibrated == "step":
            self.warm(rows)
        stored = store(rows[:, block], self.scheme, self.factors)
        self.seen[:, block] = load(stored, self.scheme)
        return int(stored.exceeded.sum())

    @property
    def factors(self) -> Smoothing:
        """Factors of the last calibration."""
        assert self.smoothing is not None, "warm comes first"
        return self.smoothing


@attrs.define(eq=False)
class Pair:
    """The two caches of a method."""

    k: Cache
    v: Cache


def study(
    scenario: Scenario, seeds: Sequence[int], methods: Mapping[str, Method] = STUDIED, *, jobs: int = 1
) -> dict[str, Errors]:
    """Errors of each method, averaged (as ratios of energy, not in dB) over seeds, blocks and steps."""
    of_seed = functools.partial(_sums, scenario=scenario, methods=dict(methods))
    parts = list(in_order(of_seed, seeds, jobs))
    count = sum(samples for _, samples in parts)
    return {name: _errors(sum((sums[name] for sums, _ in parts), np.zeros(7)) / count) for name in methods}


def _sums(seed: int, scenario: Scenario, methods: Mapping[str, Method]) -> tuple[dict[str, Reals], int]:
    """Sums over the samples of a seed, by method, and how many samples there are."""
    sums, count = {name: np.zeros(7) for name in methods}, 0
    pairs = {name: Pair(Cache(method.k), Cache(method.v)) for name, method in methods.items()}
    for sample in _samples(Generation(seed, scenario), list(pairs.values())):
        count += 1
        for name, pair in pairs.items():
            sums[name] += _measure(sample, pair)
    return sums, count


def _samples(generation: Generation, pairs: Sequence[Pair]) -> Iterator[Sample]:
    """Every measured step of a generation; warm steps fill the caches on the way."""
    for block in range(BLOCKS):
        generation.enter_block(block)
        first = PROMPT + block * BLOCK_ROWS
        rows = slice(first, first + BLOCK_ROWS)
        resolved = np.less(_POSITIONS, first)
        k, v = generation.kv(0, resolved)
        for pair in pairs:
            pair.k.warm(rope(k, _POSITIONS))
            pair.v.warm(v)
        order = generation.random.permutation(BLOCK_ROWS)
        for step in range(1, STEPS):
            now = resolved.copy()
            now[first + order[: step * BLOCK_ROWS // STEPS]] = True
            new_k, new_v = generation.kv(step, now)
            k[:, rows], v[:, rows] = new_k[:, rows], new_v[:, rows]
            if block == 0:
                continue
            q = generation.queries(_POSITIONS[rows])
            if step in MEASURED_STEPS:
                yield Sample(k=rope(k, _POSITIONS), v=v, q=q, rows=rows)


def _measure(sample: Sample, pair: Pair) -> Reals:
    """Relative error energies of K, logits, V and output, the KL divergence, elements beyond range and in all."""
    beyond = pair.k.refine(sample.k, sample.rows) + pair.v.refine(sample.v, sample.rows)
    k, v = (pair.k.scheme, pair.k.factors), (pair.v.scheme, pair.v.factors)
    exact = _centred(sample.q @ np.swapaxes(sample.k, -1, -2))
    found = _centred(fold_query(sample.q, *k) @ np.swapaxes(pair.k.seen, -1, -2))
    weights, found_weights = softmax(exact), softmax(found)
    divergence = (weights * (np.log(weights + 1e-30) - np.log(found_weights + 1e-30))).sum(axis=-1).mean()
    return np.array([
        _relative(fold_output(pair.k.seen, *k), sample.k),
        _relative(found, exact),
        _relative(fold_output(pair.v.seen, *v), sample.v),
        _relative(fold_output(found_weights @ pair.v.seen, *v), weights @ sample.v),
        divergence,
        beyond,
        sample.k[:, sample.rows].size + sample.v[:, sample.rows].size,
    ])


def _errors(mean: Reals) -> Errors:
    k, logits, v, output = (10 * math.log10(ratio) for ratio in mean[:4].tolist())
    return Errors(k=k, logits=logits, v=v, output=output, kl=float(mean[4]), exceeded=float(mean[5] / mean[6]))


def softmax(logits: Reals) -> Reals:
    """Softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    out: Reals = powers / powers.sum(axis=-1, keepdims=True)
    return out


def _centred(logits: Reals) -> Reals:
    """A constant per query changes no softmax, so it is no error."""
    out: Reals = logits - logits.mean(axis=-1, keepdims=True)
    return out


def _relative(found: Reals, exact: Reals) -> float:
    return float(((found - exact) ** 2).sum() / (exact**2).sum())
