"""Whether what two iterations touched moves evenly, and for how many more it may be trusted to.

Each access of one iteration is compared with the same access of the next: its move per iteration.
Accesses that move alike keep their relation for ever. Those that move differently must never meet,
which is checked for every place that each group comes by; in the SRAMs, where only overlap matters, it
is enough that each moving access goes on meeting the same resting ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import attrs

from archsim.components.touches import IDS, LOAD, OPAQUE, PRODUCT, STORE

if TYPE_CHECKING:
    from archsim.components.frontend import FrontEnd
    from archsim.components.touches import LogEntry

Pair: TypeAlias = "tuple[LogEntry, LogEntry]"
"""The same access of one iteration and of the next."""

HBM = 4
_REGION_BITS = 24
ODD_SHARE = 50
"""Of a forgiving comparison: bytes that move to other banks may be this part of all."""
FEW = 1000
"""Of a forgiving comparison: accesses that meet others than before may be this part of all."""
MAX_PAIRS = 1_000_000
"""Pairs of accesses that are looked at one by one."""
MAX_PLACES = 4096
"""Moves over which the places of a group are looked at one by one."""


@attrs.define(eq=False)
class Sweep:
    """All accesses of one kind that move by the same amount: their hull now."""

    low: int
    high: int
    ranges: set[tuple[int, int]] = attrs.field(factory=set)
    """Each access, but for HBM."""

    def over(self, move: int, times: int) -> tuple[int, int]:
        """The hull over `times` more iterations."""
        end = move * times
        return self.low + min(0, end), self.high + max(0, end)


@attrs.define(eq=False)
class Evenness:
    """Collects the accesses of an iteration on all cores."""

    fronts: list[FrontEnd]
    period_bytes: int
    forgiving: bool = False
    """Whether a small part of what is touched may move to other banks, or meet other accesses than before."""
    sweeps: dict[tuple[int, int, bool, int, int], Sweep] = attrs.field(factory=dict)
    """Hull by (core, space, write, move, region); HBM is common to all cores and counted under core 0.

    Regions cut HBM into pieces, so that the hull of far apart tensors does not cover what is between."""
    loads: list[tuple[int, int, int, int, int]] = attrs.field(factory=list)
    """(core, address, move, value, step) of every table word that changes."""
    hbm_bytes: int = 0
    odd_bytes: int = 0
    """Bytes of HBM touched, and those of them that move to other banks."""
    accesses: int = 0
    others: int = 0
    """Those of them that meet others than before, as far as was looked."""

    @property
    def forgave(self) -> bool:
        """Whether anything was forgiven."""
        return self.odd_bytes > 0 or self.others > 0

    def compare(self, core: int, earlier: list[LogEntry], last: list[LogEntry]) -> bool:
        """Match two iterations of a core; False where they differ in more than even moves."""
        if len(earlier) != len(last):
            return False
        self.accesses += len(last)
        pairs: Iterable[Pair] = zip(earlier, last, strict=True)
        if self.forgiving:
            pairs = self._without_gathers(pairs)
        # Most of what a step does in one layer it does in the others, too.
        return all(self._match(core, old, new, count) for (old, new), count in Counter(pairs).items())

    def _without_gathers(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """All but gathers from elsewhere in the table of ids, whose rows may be anywhere: they are on other banks."""
        gathered = False
        for pair in pairs:
            old, new = pair
            alike = old[0] == new[0] and old[2:] == new[2:]
            if new[0] != HBM:
                gathered = alike and new[0] == IDS and old[1] != new[1]
                if not gathered:
                    yield pair
            elif gathered and alike:
                self.hbm_bytes += new[2]
                self.odd_bytes += new[2]
            else:
                yield pair

    def _match(self, core: int, old: LogEntry, new: LogEntry, count: int) -> bool:
        """Compare two accesses, which the iterations have `count` times."""
        what, where, much, write = new
        if old[0] != what or old[3] != write:
            return False
        move, change = where - old[1], much - old[2]
        if what < LOAD:
            return not change and self._sweep(core, what, where, much, write, move, count)
        if what == LOAD:
            kept = not move and where in self.fronts[core].stored
            if (move or change) and not kept:
                self.loads.append((core, where, move, much, change))
            return True
        if what == PRODUCT:
            return not (move and change)
        if what == OPAQUE:
            return not change
        return not move and (what == STORE or not change)

    def _sweep(self, core: int, what: int, where: int, much: int, write: bool, move: int, count: int) -> bool:
        vlen = self.fronts[core].geometry.vlen
        odd = what == HBM and move % self.period_bytes != 0
        if move and ((odd and not self.forgiving) or (what == 0 and move % vlen)):
            # Such a move changes the channel and bank, or the place inside a vector: not the same work.
            return False
        low, high = where, where + much
        region = 0
        if what == HBM:
            core, region = 0, where >> _REGION_BITS
            self.hbm_bytes += count * much
            self.odd_bytes += count * odd * much
            if move and not odd:
                low, high = low - low % self.period_bytes, high + -high % self.period_bytes
        key = (core, what, write, move, region)
        sweep = self.sweeps.get(key)
        if sweep is None:
            sweep = self.sweeps[key] = Sweep(low, high)
        elif low < sweep.low:
            sweep.low = low
        if high > sweep.high:
            sweep.high = high
        if what != HBM or self.forgiving:
            sweep.ranges.add((low, high))
        return True

    def limit(self, times: int) -> int:
        """The most further iterations, up to `times`, in which nothing uneven happens."""
        if self.odd_bytes * ODD_SHARE > self.hbm_bytes:
            return 0
        for core, address, move, value, step in self.loads:
            times = min(times, self._even_words(core, address, move, value, step, times))
        while times and not (self._inside(times) and self._apart(times)):
            times //= 2
        return times

    def _even_words(self, core: int, address: int, move: int, value: int, step: int, times: int) -> int:
        words = self.fronts[core].int_mem
        for i in range(1, times + 1):
            at = address + i * move
            if not 0 <= at < len(words):
                return i - 1
            word = words[at]
            if (-1 if word is None else word) != value + i * step:
                return i - 1
        return times

    def _inside(self, times: int) -> bool:
        for (core, what, write, move, _), sweep in self.sweeps.items():
            low, high = sweep.over(move, times)
            limit = self.fronts[core].limits[what]
            loaded = self.fronts[core].loaded
            if move and not write and loaded and what < len(loaded) and loaded[what].missing(low, high) is not None:
                return False
            # A hull rounded to whole periods may reach beyond the last byte by less than one.
            slack = self.period_bytes if what == HBM and move else 0
            if move and (low < -slack or high > limit + slack):
                return False
        return True

    def _apart(self, times: int) -> bool:
        """Whether groups that move differently keep apart, where one of them writes or both open HBM rows."""
        self.others = 0
        groups = sorted(self.sweeps.items(), key=lambda item: item[0])
        for i, ((core, what, write, move, _), sweep) in enumerate(groups):
            low, high = sweep.over(move, times)
            for (core2, what2, write2, move2, _), sweep2 in groups[i + 1 :]:
                if (core, what) != (core2, what2) or move == move2 or not (write or write2 or what == HBM):
                    continue
                low2, high2 = sweep2.over(move2, times)
                if low >= high2 or low2 >= high:
                    continue
                if what == HBM:
                    if not _cross(sweep, move, sweep2, move2, times):
                        continue
                    if not (move % self.period_bytes or move2 % self.period_bytes):
                        return False
                    if not (write or write2):
                        continue  # which rows they find open is forgiven
                self.others += _other_meetings(sweep, move, sweep2, move2, times)
                if self.others * FEW > self.accesses * self.forgiving:
                    return False
        return True


def _cross(one: Sweep, move: int, other: Sweep, move2: int, times: int) -> bool:
    """Whether one group, at any of its places over `times` moves, overlaps the other at any of its own.

    Layers of a stack whose scales lie between the codes of later ones pass by what rests between them.
    """
    if times > MAX_PLACES:
        return True
    if not move:
        one, move, other, move2 = other, move2, one, move
    for low in range(one.low, one.low + move * times + (1 if move > 0 else -1), move):
        high = low + one.high - one.low
        # Places j of the other overlap where low - other.high < j * move2 < high - other.low.
        below, above = low - other.high, high - other.low
        if move2 < 0:
            below, above = -above, -below
        first, last = (below // abs(move2) + 1, -(-above // abs(move2)) - 1) if move2 else (0, 0)
        if (move2 or below < 0 < above) and max(first, 0) <= min(last, times):
            return True
    return False


def _other_meetings(one: Sweep, move: int, other: Sweep, move2: int, times: int) -> int:
    """How many accesses of the moving group do not overlap the same ones of the resting group over `times` moves."""
    moving, resting, step = (one, other, move) if move else (other, one, move2)
    if (move and move2) or len(moving.ranges) * len(resting.ranges) > MAX_PAIRS:
        return len(moving.ranges) + len(resting.ranges)
    way = step * times
    first, last = min(0, way), max(0, way)
    found = 0
    for low, high in moving.ranges:
        for start, end in resting.ranges:
            # They overlap while the way covered is between start - high and end - low.
            if start - high >= last or first >= end - low:
                continue
            if not (_overlap(low, high, start, end) and _overlap(low + way, high + way, start, end)):
                found += 1
                break
    return found


def _overlap(low: int, high: int, start: int, end: int) -> bool:
    return low < end and start < high
