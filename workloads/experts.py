"""A mixture of experts: how many there are, how rows choose among them."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.errors import WorkloadError

SCORES = ("softmax", "sigmoid")


@attrs.frozen(kw_only=True)
class Experts:
    """The mixture of experts of a layer; every expert is a gated MLP of its own.

    A router matrix gives each row a score for every expert; the `top_k` best take the row, and their
    outputs are added, weighted by their scores.
    """

    count: int
    top_k: int
    ffn: int
    """Width of an expert's inner rows."""
    shared_ffn: int = 0
    """Width of the inner rows of the shared experts together, which take every row; 0: none."""
    first_dense: int = 0
    """Layers at the start that have an MLP instead."""
    scores: str = "softmax"
    """What makes scores of the router's products: "softmax" over all experts, or "sigmoid" of each."""
    normalized: bool = False
    """Whether the scores of a row's experts are scaled to a sum of 1."""
    scale: float = 1.0
    """What they are multiplied by at last."""
    bias: bool = False
    """Whether experts are chosen, though not weighted, by scores with a bias added."""
    groups: int = 1
    top_groups: int = 1
    """Experts are chosen from the `top_groups` of `groups` equal groups whose two best scores add up to most."""

    def check(self, where: str) -> None:
        """Raise WorkloadError for figures that contradict each other."""
        for key in ("count", "top_k", "ffn", "groups", "top_groups"):
            _require(where, key, getattr(self, key), type(getattr(self, key)) is int and getattr(self, key) > 0)
        for key in ("shared_ffn", "first_dense"):
            valid = type(getattr(self, key)) is int and getattr(self, key) >= 0
            _require(where, key, getattr(self, key), valid, "a non-negative integer")
        grouped = self.count % self.groups == 0 and self.count // self.groups >= min(2, self.groups)
        _require(where, "groups", self.groups, grouped, f"a divisor of {self.count} experts that leaves two a group")
        _require(where, "top_groups", self.top_groups, self.top_groups <= self.groups, f"at most {self.groups}")
        most = self.count // self.groups * self.top_groups
        _require(where, "top_k", self.top_k, self.top_k <= most, f"at most {most}")
        _require(where, "scores", self.scores, self.scores in SCORES, f"one of {', '.join(SCORES)}")
        for key in ("normalized", "bias"):
            _require(where, key, getattr(self, key), isinstance(getattr(self, key), bool), "true or false")
        positive = isinstance(self.scale, (int, float)) and self.scale > 0
        _require(where, "scale", self.scale, positive, "a positive number")

    def expected_distinct(self, rows: int) -> float:
        """Experts that at least one of `rows` rows chooses, on average, where every choice is as likely."""
        return float(self.count * (1 - (1 - self.top_k / self.count) ** rows))

    def shrunk(self, layers: int, count: int | None = None, ffn: int | None = None) -> Experts:
        """A copy for fewer layers, experts or columns; what no longer fits is cut."""
        count, first = count or self.count, min(self.first_dense, layers - 1)
        groups = self.groups if count % self.groups == 0 and count >= 2 * self.groups else 1
        top_groups = min(self.top_groups, groups)
        shared = self.shared_ffn * (ffn or self.ffn) // self.ffn
        return attrs.evolve(
            self, count=count, ffn=ffn or self.ffn, shared_ffn=shared, first_dense=first, groups=groups,
            top_groups=top_groups, top_k=min(self.top_k, max(1, count // groups * top_groups // 2)),
        )  # fmt: skip


def _require(where: str, key: str, value: Any, holds: bool, expected: str = "a positive integer") -> None:
    if not holds:
        raise WorkloadError(f"{where}: experts.{key} is {value!r}; expected {expected}")
