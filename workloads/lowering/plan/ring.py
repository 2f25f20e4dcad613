"""The ring of weight tiles in Matrix SRAM: where each tile of a stage lies in it when, and what is fetched when."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import attrs

from workloads.lowering.plan.dims import round_up
from workloads.lowering.plan.stages import Gemm, Stage

GROUP_SHARE = 8
"""N-tiles are fetched together if they take no more than this part of the ring."""


@attrs.frozen
class Fetch:
    """One H_PREFETCH_M of the stream: `count` tiles from element `offset` of a stage to `slot`."""

    slot: int
    count: int
    elements: int
    offset: int
    next_stage: bool


@attrs.frozen
class Use:
    """What happens at n-tiles that are fetched together: the tile runs (slot, tiles) that each of them reads, then the
    fetches that replace them all."""

    reads: tuple[tuple[tuple[int, int], ...], ...]
    fetches: tuple[Fetch, ...]
    bare: bool = False
    """Whether nothing is fetched as the stream ends here."""

    @property
    def run(self) -> tuple[int, int] | None:
        """The tiles of all the n-tiles as one run; None where they lie on both ends of the ring."""
        runs = [run for reads in self.reads for run in reads]
        slot, tiles = runs[0][0], sum(count for _, count in runs)
        return (slot, tiles) if runs[-1] == (slot + tiles - runs[-1][1], runs[-1][1]) else None

    def follows(self, first: Use, index: int) -> bool:
        """Whether this is `first`, of the same matrix, moved on by `index` of its kind, so that one loop does both."""
        if self.run is None or first.run is None or len(self.fetches) != len(first.fetches):
            return False
        (slot, tiles), (slot0, tiles0) = self.run, first.run
        moved = slot == slot0 + index * tiles0 and tiles == tiles0
        if not self.fetches:
            return moved and self.bare and first.bare
        if len(self.fetches) > 1:
            return False
        f, f0 = self.fetches[0], first.fetches[0]
        return (
            moved
            and (f.count, f.elements, f.next_stage) == (f0.count, f0.elements, f0.next_stage)
            and (f.slot, f.count) == (slot, tiles)
            and (f0.slot, f0.count) == (slot0, tiles0)
            and f.offset == f0.offset + index * f0.count * f0.elements
        )


class Plan:
    """Where every tile of a stage lies in the ring, and what is fetched when.

    The first tiles of the stage after it are fetched while the last ones of this are used. `follower` is that stage
    where it has the same base; None stands for one at another base: the next layer's first, or the LM head. `lead`
    has the sizes of its tiles where they are not those of this stage, and `base` its byte base where that is always
    the same and no layer's. `partial`: elements of each of its first tiles that the stage before fetches, where those
    of its own tiles are fewer; they are stored first, then what is left of these tiles. Where the stage `ends` the
    stream, nothing is fetched ahead of what follows.
    """

    def __init__(
        self, stage: Stage, depth: int, follower: Stage | None = None, *,
        lead: Stage | None = None, base: int = -1, partial: int = 0, ends: bool = False,
    ) -> None:  # fmt: skip
        self.stage, self.depth, self.base, self.partial, self._ends = stage, depth, base, partial, ends
        self.same_base = follower is not None
        self._follower_start = follower.start if follower is not None else 0
        self._lead_sizes = (lead or stage).sizes()[:depth]
        self._lead_offsets = [0, *itertools.accumulate(self._lead_sizes)]
        self.sizes = stage.sizes()
        self.offsets = [0]
        for size in self.sizes:
            self.offsets.append(self.offsets[-1] + size)
        self.length = round_up(len(self.sizes), depth)

    def uses(self) -> Iterator[tuple[Gemm, list[Use]]]:
        """Every matrix with its n-tiles."""
        position = 0
        for gemm in self.stage.gemms:
            uses: list[Use] = []
            group = self._group(gemm)
            for _ in range(gemm.n_tiles // group):
                uses.append(self._use(position, gemm.k_tiles, group))
                position += group * gemm.k_tiles
            yield gemm, uses

    def _group(self, gemm: Gemm) -> int:
        """N-tiles that are fetched together: as many as lie on all channels alike, if those leave most of the ring."""
        group = gemm.even // math.gcd(gemm.even, gemm.k_tiles)
        fits = gemm.n_tiles % group == 0 and group * gemm.k_tiles * GROUP_SHARE <= self.depth
        return group if fits and self.depth % gemm.even == 0 else 1

    def start(self) -> Iterator[Fetch]:
        """Fetches that fill the ring with the stage's first tiles, an n-tile at a time."""
        position = 0
        for gemm in self.stage.gemms:
            for _ in range(gemm.n_tiles):
                count = min(gemm.k_tiles, self.depth - position)
                if count <= 0:
                    return
                offset = self.offsets[position] + self.stage.start
                yield Fetch(position, count, gemm.elements, offset, next_stage=False)
                position += count

    def tail(self) -> tuple[Fetch, ...]:
        """Fetches into the slots that the end of the stage leaves idle."""
        return tuple(self._fetches(len(self.sizes), self.length - len(self.sizes)))

    def _use(self, position: int, tiles: int, group: int) -> Use:
        reads = tuple(self._reads(position + index * tiles, tiles) for index in range(group))
        fetches = tuple(self._fetches(position, group * tiles))
        return Use(reads, fetches, self._ends and not fetches)

    def _reads(self, position: int, tiles: int) -> tuple[tuple[int, int], ...]:
        slot = position % self.depth
        first = min(tiles, self.depth - slot)
        return ((slot, first),) if first == tiles else ((slot, first), (0, tiles - first))

    def _fetches(self, position: int, tiles: int) -> list[Fetch]:
        out: list[Fetch] = []
        for index in range(position, position + tiles):
            ahead = index + self.depth
            later = ahead >= self.length
            ahead -= self.length if later else 0
            sizes, offsets = (self._lead_sizes, self._lead_offsets) if later else (self.sizes, self.offsets)
            if ahead >= len(sizes) or (later and self._ends):
                continue
            offset = offsets[ahead] + (self._follower_start if later else self.stage.start)
            one = Fetch(index % self.depth, 1, sizes[ahead], offset, later)
            if out and _joins(out[-1], one):
                out[-1] = attrs.evolve(out[-1], count=out[-1].count + 1)
            else:
                out.append(one)
        return out


def _joins(run: Fetch, one: Fetch) -> bool:
    return (
        one.slot == run.slot + run.count
        and one.elements == run.elements
        and one.next_stage == run.next_stage
        and one.offset == run.offset + run.count * run.elements
    )
