"""The router of a layer of experts: every row's scores, of which all but those of its top k become 0.

Rows choose with arithmetic alone, many at once: the largest of a row is the lane where (value - largest) times a
huge number is 0, so that its exponential is 1 there and 0 elsewhere. Taking a huge number off that lane makes
the next one the largest. Equal scores are chosen together.
"""

from __future__ import annotations

from workloads.lowering.emit.builder import Count
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import F_HUGE, F_ONE, F_SCALE, F_TINY
from workloads.lowering.plan.vectors import ExpertArea

_ONE, _HUGE, _TINY, _SCALE = 1, 2, 3, 4


def score(c: Context) -> None:
    """The weights of every row's experts, 0 for the others, where `ExpertArea.scores` says."""
    c.phase("router")
    b, v = c.b, c.vectors
    area = v.experts
    assert area is not None
    c.stream.gemm("router", c.activations(v.normed), area.scores)
    for register, word in ((_ONE, F_ONE), (_HUGE, F_HUGE), (_TINY, F_TINY), (_SCALE, F_SCALE)):
        b.emit("S_LD_FP", register, 0, word)
    for start in range(0, v.rows, v.scratch_rows):
        part = _Part(c, area, area.scores + start, c.part(start, v.scratch_rows, v.rows))
        part.score()
        part.choose()
        part.weigh()
    b.v_lanes(0)


class _Part:
    """Some rows, whose scores are at vector `scores`."""

    def __init__(self, context: Context, area: ExpertArea, scores: int, rows: Count) -> None:
        self.c, self.b, self.area, self.scores, self.rows = context, context.b, area, scores, rows
        experts = context.dims.model.experts
        assert experts is not None
        self.experts = experts
        self.work = context.vectors.scratch

    def _set(self, segment: int) -> None:
        """All rows, by segments; only experts' lanes count."""
        self.b.v_rows(self.rows)
        self.b.v_seg(segment)
        self.b.v_lanes(self.experts.count)

    def _emit(self, mnemonic: str, *vectors: int) -> None:
        self.b.emit(mnemonic, *[self.c.v(vector) for vector in vectors])

    def _invert(self) -> None:
        """The first statistics vector becomes its reciprocal."""
        self.b.v_rows(1)
        self._emit("V_RECI_V", self.area.statistics, self.area.statistics)

    def score(self) -> None:
        """Products become scores."""
        c, b, place, statistics = self.c, self.b, self.scores, self.area.statistics
        vlen = c.dims.view.vlen
        self._set(vlen)
        if self.experts.scores == "sigmoid":
            b.emit("V_SUB_VF", c.v(self.work), c.v(place), 0, 0, 1)
            self._emit("V_EXP_V", self.work, self.work)
            b.emit("V_ADD_VF", c.v(self.work), c.v(self.work), _ONE)
            self._emit("V_RECI_V", place, self.work)
            return
        self._emit("V_RED_MAX_SEG", statistics, place)
        self._emit("V_SUB_SEG", place, place, statistics)
        self._emit("V_EXP_V", place, place)
        self._emit("V_RED_SUM_SEG", statistics, place)
        self._invert()
        self._set(vlen)
        self._emit("V_MUL_SEG", place, place, statistics)

    def choose(self) -> None:
        """What experts are chosen by, and what is left of it when the top k have had a huge number taken off."""
        c, b, area = self.c, self.b, self.area
        if self.experts.bias:
            b.v_rows(self.rows, 1, 0)
            self._emit("V_ADD_VV", area.choice, self.scores, c.vectors.bias + c.dims.router_bias)
        else:
            b.emit("V_ADD_VF", c.v(area.choice), c.v(self.scores), 0)
        if self.experts.groups > 1:
            self._keep_groups()
        vlen = c.dims.view.vlen
        self._set(vlen)
        b.emit("V_ADD_VF", c.v(area.left), c.v(area.choice), 0)
        with b.loop(self.experts.top_k):
            self._set(vlen)
            self._largest(area.left, area.statistics, self.work)
            self._emit("V_SUB_VV", area.left, area.left, self.work)

    def _largest(self, values: int, statistics: int, target: int) -> None:
        """The huge number in the lanes of `target` that hold their segment's largest value, 0 in the others."""
        c, b = self.c, self.b
        self._emit("V_RED_MAX_SEG", statistics, values)
        self._emit("V_SUB_SEG", target, values, statistics)
        b.emit("V_MUL_VF", c.v(target), c.v(target), _HUGE)
        self._emit("V_EXP_V", target, target)
        b.emit("V_MUL_VF", c.v(target), c.v(target), _HUGE)

    def _keep_groups(self) -> None:
        """Choices become 0 outside the groups whose two best add up to most."""
        c, b, area, experts = self.c, self.b, self.area, self.experts
        size = experts.count // experts.groups
        sums, left, third, mask = (area.statistics + index * area.packed for index in range(4))
        self._set(size)
        self._largest(area.choice, sums, self.work)
        self._emit("V_SUB_VV", self.work, area.choice, self.work)
        self._emit("V_RED_MAX_SEG", left, self.work)
        self._set_statistics(size)
        self._emit("V_ADD_VV", sums, sums, left)
        b.emit("V_ADD_VF", c.v(left), c.v(sums), 0)
        with b.loop(experts.top_groups):
            self._set_statistics(size)
            self._largest(left, third, mask)
            self._emit("V_SUB_VV", left, left, mask)
        self._set_statistics(size)
        self._emit("V_SUB_VV", mask, sums, left)
        b.emit("V_MUL_VF", c.v(mask), c.v(mask), _TINY)
        self._set(size)
        self._emit("V_MUL_SEG", area.choice, area.choice, mask)

    def _set_statistics(self, size: int) -> None:
        """Statistics of groups as rows of their own: a segment holds those of a row."""
        self.b.v_rows(self.area.packed)
        self.b.v_seg(self.c.dims.view.vlen // size)
        self.b.v_lanes(0)

    def weigh(self) -> None:
        """Scores of the chosen experts, scaled; 0 of the others."""
        c, b, area, place = self.c, self.b, self.area, self.scores
        self._set(c.dims.view.vlen)
        self._emit("V_SUB_VV", self.work, area.choice, area.left)
        b.emit("V_MUL_VF", c.v(self.work), c.v(self.work), _TINY)
        self._emit("V_MUL_VV", place, place, self.work)
        if self.experts.normalized:
            self._emit("V_RED_SUM_SEG", area.statistics, place)
            self._invert()
            self._set(c.dims.view.vlen)
            self._emit("V_MUL_SEG", place, place, area.statistics)
        if self.experts.scale != 1:
            b.emit("V_MUL_VF", c.v(place), c.v(place), _SCALE)
