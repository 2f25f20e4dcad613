"""Which experts the rows of every pass choose, and the lists of them that stand in INT_MEM.

A pass is some rows going through a layer of experts: all rows of a group of sequences, or a row tile.
Choices are drawn, every expert being as likely, or come from a recording. A list is

    experts - 1, address of the rows, then for every expert its number and how many rows it takes

and the rows are offsets of vectors, expert after expert. A pointer per pass, in order of execution, says which
list is its own. Drawn lists may serve several passes where INT_MEM is short of room, and share their rows: which
rows an expert takes makes no difference to time, only how many.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import attrs

from archsim.errors import WorkloadError
from workloads.experts import Experts
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.recording import Recording
from workloads.lowering.plan.rounds import Rounds
from workloads.lowering.plan.vectors import VectorPlan


@attrs.frozen
class Pass:
    """Rows that go through a layer of experts together: vectors of a column block, and numbers among all rows."""

    forward: int
    layer: int
    vectors: tuple[int, ...]
    numbers: tuple[int, ...]


@attrs.frozen
class RouteList:
    """The experts that some rows choose: (expert, rows) in the order in which they run; `rows` by vector."""

    entries: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]

    @property
    def distinct(self) -> int:
        """Experts touched."""
        return len({expert for expert, _ in self.entries})


@attrs.frozen(kw_only=True)
class RoutingPlan:
    """Lists, and for every pass in order of execution the index of its list."""

    lists: tuple[RouteList, ...]
    passes: tuple[Pass, ...]
    chosen: tuple[int, ...]
    origin: str
    """Where choices come from, for the header."""

    @property
    def words(self) -> int:
        """Words of INT_MEM."""
        rows = {one.rows for one in self.lists}
        return len(self.passes) + sum(2 + 2 * len(one.entries) for one in self.lists) + sum(map(len, rows))

    def table(self, base: int, vlen: int) -> list[int]:
        """Pointers, lists and rows, as they lie from word `base` on."""
        places, end = [], base + len(self.passes)
        for one in self.lists:
            places.append(end)
            end += 2 + 2 * len(one.entries)
        runs: dict[tuple[int, ...], int] = {}
        for one in self.lists:
            if one.rows not in runs:
                runs[one.rows] = end
                end += len(one.rows)
        words = [places[index] for index in self.chosen]
        for one in self.lists:
            words += [len(one.entries) - 1, runs[one.rows], *itertools.chain.from_iterable(one.entries)]
        return words + [row * vlen for run in runs for row in run]

    def totals(self, blen: int) -> dict[int, tuple[int, int, int]]:
        """By forward, over its passes: experts fetched, row tiles of experts, rows of experts."""
        out: dict[int, tuple[int, int, int]] = {}
        for one, index in zip(self.passes, self.chosen, strict=True):
            entries = self.lists[index].entries
            tiles = sum(-(-rows // blen) for _, rows in entries)
            fetched, done, rows = out.get(one.forward, (0, 0, 0))
            out[one.forward] = fetched + len(entries), done + tiles, rows + sum(count for _, count in entries)
        return out

    def notes(self, experts: Experts) -> tuple[str, ...]:
        """What a program's header says of it."""
        facts = self.describe(experts)
        shared = f", in {len(self.lists)} lists" if len(self.lists) < len(self.passes) else ""
        touched = f"a pass touches {facts['mean_distinct']} of {experts.count} on average"
        return (f"experts: {self.origin}; {touched}; {len(self.passes)} passes{shared}",)

    def describe(self, experts: Experts) -> dict[str, object]:
        """For the program's header; `expected_distinct` is of choices all as likely."""
        distinct = [self.lists[index].distinct for index in self.chosen]
        expected = [experts.expected_distinct(len(one.vectors)) for one in self.passes]
        return {
            "choices": self.origin, "passes": len(self.passes), "lists": len(self.lists),
            "mean_distinct": round(sum(distinct) / len(distinct), 2),
            "expected_distinct": round(sum(expected) / len(expected), 2),
        }  # fmt: skip


def plan_routing(
    dims: Dims, rounds: Rounds, vectors: Sequence[VectorPlan], room: int, *,
    seed: int, recording: Recording | None,
) -> RoutingPlan:  # fmt: skip
    """Lists that fit `room` words; raises WorkloadError where a recording's do not, or it lacks a pass."""
    experts, blen = dims.model.experts, dims.view.blen
    assert experts is not None
    passes = _passes(dims, rounds, vectors)
    if recording is None:
        plan = _drawn(passes, experts, blen, room, random.Random(seed), f"uniform, seed {seed}")
    else:
        plan = _recorded(passes, rounds, recording, blen)
    if plan.words > room:
        found = f"{len(passes)} passes through experts take {plan.words} words of INT_MEM"
        hint = f"at most {room}, that is fewer forwards in the window"
        raise WorkloadError(f"machine {dims.view.name}: {found}; expected {hint}")
    return plan


def _passes(dims: Dims, rounds: Rounds, vectors: Sequence[VectorPlan]) -> list[Pass]:
    layers = range(dims.model.dense_layers, dims.model.layers)
    out: list[Pass] = []
    for forward, kind in zip(rounds.forwards, rounds.kinds, strict=True):
        plan = vectors[rounds.classes.index(kind)]
        for first in range(0, forward.sequences, plan.sequences):
            group = range(plan.sequences)
            if plan.tiles == 1:
                places = [[(s * kind.q_rows + row, (first + s) * forward.q_rows + row)
                           for s in group for row in range(forward.q_rows)]]  # fmt: skip
            else:
                places = [
                    [(row, first * forward.q_rows + min(start + row, forward.q_rows - 1))
                     for row in range(min(plan.rows, kind.q_rows - start))]
                    for start in range(0, kind.q_rows, plan.rows)
                ]  # fmt: skip
            for layer in layers:
                for rows in places:
                    own, numbers = zip(*rows, strict=True)
                    out.append(Pass(forward.index, layer, own, numbers))
    return out


def _entries(counts: Counter[int], blen: int) -> tuple[tuple[int, int], ...]:
    """Experts and their rows; more rows than a row tile go through the expert in turns."""
    out: list[tuple[int, int]] = []
    for expert in sorted(counts):
        left = counts[expert]
        while left > 0:
            out.append((expert, min(left, blen)))
            left -= blen
    return tuple(out)


def _recorded(passes: Sequence[Pass], rounds: Rounds, recording: Recording, blen: int) -> RoutingPlan:
    lists: dict[RouteList, int] = {}
    chosen = []
    rows = {forward.index: forward.q_rows * forward.sequences for forward in rounds.forwards}
    for one in passes:
        choices = recording.choices(one.forward, one.layer, rows[one.forward])
        by_expert: dict[int, list[int]] = {}
        for vector, number in zip(one.vectors, one.numbers, strict=True):
            for expert in choices[number]:
                by_expert.setdefault(expert, []).append(vector)
        entries = _entries(Counter({expert: len(own) for expert, own in by_expert.items()}), blen)
        order = tuple(itertools.chain.from_iterable(by_expert[expert] for expert in sorted(by_expert)))
        chosen.append(lists.setdefault(RouteList(entries, order), len(lists)))
    return RoutingPlan(
        lists=tuple(lists), passes=tuple(passes), chosen=tuple(chosen), origin=f"recorded in {recording.name}"
    )


def _drawn(
    passes: Sequence[Pass], experts: Experts, blen: int, room: int, draw: random.Random, origin: str
) -> RoutingPlan:
    """As many lists as passes, or as fit; passes of as many rows draw from the same lists."""
    demand = Counter(one.vectors for one in passes)
    left = room - len(passes) - sum(experts.top_k * len(vectors) for vectors in demand)
    sizes = {vectors: 2 + 2 * _most_entries(experts, len(vectors), blen) for vectors in demand}
    wanted = sum(sizes[vectors] * count for vectors, count in demand.items())
    share = min(1.0, max(0, left) / wanted)
    lists: list[RouteList] = []
    pools: dict[tuple[int, ...], range] = {}
    for vectors, count in demand.items():
        start = len(lists)
        lists += [_draw(vectors, experts, blen, draw) for _ in range(max(1, int(count * share)))]
        pools[vectors] = range(start, len(lists))
    taken: Counter[tuple[int, ...]] = Counter()
    chosen = []
    for one in passes:
        pool, index = pools[one.vectors], taken[one.vectors]
        chosen.append(pool[index] if index < len(pool) else draw.choice(pool))
        taken[one.vectors] += 1
    return RoutingPlan(lists=tuple(lists), passes=tuple(passes), chosen=tuple(chosen), origin=origin)


def _most_entries(experts: Experts, rows: int, blen: int) -> int:
    return min(experts.count + experts.top_k * rows // blen, experts.top_k * rows)


def _draw(vectors: tuple[int, ...], experts: Experts, blen: int, draw: random.Random) -> RouteList:
    """Every row draws its experts; the rows themselves are dealt out in turn, so that no expert gets one twice."""
    counts: Counter[int] = Counter()
    for _ in vectors:
        counts.update(draw.sample(range(experts.count), experts.top_k))
    return RouteList(_entries(counts, blen), vectors * experts.top_k)
