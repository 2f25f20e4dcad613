"""Traffic for one HBM channel: where the bursts go, and a front end that offers them as fast as they are taken.

The front end makes 16 attempts in each tick of the controller (a clock cycle, for HBM3 half a cycle), in turns: one
for the stream, one for the probe. A `gap` of N leaves out all but every N-th turn of the stream, so that it offers
8 / N bursts a tick; a refused burst is offered again at the stream's next turn. With `probe` the other turns keep
one read of a random place outstanding. This is the load of Ramulator 2.1's latency-throughput front end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import attrs

from archsim.memory.controller import NEVER, Burst, Controller
from archsim.memory.timing import DramTiming

ATTEMPTS = 16
"""Turns of the front end in one tick of the controller, of the stream and of the probe together."""
ROWS = 16384
"""Rows of a bank that random places are drawn from: those of HBM3 at 16 Gb; HBM2 at 8 Gb has more."""
PATTERNS = ("stream-bank", "stream-row", "random", "probe")


@attrs.frozen(kw_only=True)
class Geometry:
    """Counts of one physical channel; `columns` are bursts of a row."""

    pseudo_channels: int
    stack_ids: int
    bank_groups: int
    banks: int
    columns: int

    @property
    def total(self) -> int:
        """Banks of the channel."""
        return self.pseudo_channels * self.stack_ids * self.bank_groups * self.banks

    def bank(self, pc: int, stack: int, group: int, bank: int) -> int:
        """The number that `CommandState` gives this bank."""
        return ((pc * self.stack_ids + stack) * self.bank_groups + group) * self.banks + bank

    def scatter(self, index: int) -> int:
        """The `index`-th bank, counted with the pseudo-channel fastest, then bank group, bank, stack ID."""
        index, pc = divmod(index, self.pseudo_channels)
        index, group = divmod(index, self.bank_groups)
        stack, bank = divmod(index, self.banks)
        return self.bank(pc, stack, group, bank)


def make_geometry(timing: DramTiming, pseudo_channels: int) -> Geometry:
    """The geometry of a channel of that DRAM."""
    return Geometry(
        pseudo_channels=pseudo_channels,
        stack_ids=timing.stack_ids,
        bank_groups=timing.bank_groups,
        banks=timing.banks_per_group // timing.stack_ids,
        columns=timing.page_bytes // timing.burst_bytes,
    )


def by_bank(geometry: Geometry) -> Iterator[tuple[int, int]]:
    """(bank, row) of consecutive bursts that visit every bank in turn, then the next column.

    The banks start at different columns, evenly spread, so that they change rows one after the other.
    """
    total, columns = geometry.total, geometry.columns
    banks = [geometry.scatter(index) for index in range(total)]
    starts = [index * columns // total for index in range(total)]
    turn = 0
    while True:
        for bank, start in zip(banks, starts, strict=True):
            yield bank, (turn + start) // columns
        turn += 1


def by_row(geometry: Geometry) -> Iterator[tuple[int, int]]:
    """(bank, row) of consecutive bursts that fill a row of each pseudo-channel, then go on to the next bank."""
    pcs = geometry.pseudo_channels
    row = 0
    while True:
        for first in range(0, geometry.total, pcs):
            banks = [geometry.scatter(first + pc) for pc in range(pcs)]
            for _ in range(geometry.columns):
                for bank in banks:
                    yield bank, row
        row += 1


def anywhere(geometry: Geometry, rng: random.Random) -> Iterator[tuple[int, int]]:
    """(bank, row) of bursts at uniformly random places."""
    while True:
        yield rng.randrange(geometry.total), rng.randrange(ROWS)


def make_stream(pattern: str, geometry: Geometry, rng: random.Random) -> Iterator[tuple[int, int]]:
    """The places of the stream of a pattern; that of "probe" is "stream-bank"."""
    if pattern == "stream-row":
        return by_row(geometry)
    if pattern == "random":
        return anywhere(geometry, rng)
    return by_bank(geometry)


@attrs.define(eq=False)
class FrontEnd:
    """Offers `left` bursts to a controller: those of `stream`, and where given those of `probe`, one at a time.

    `position` counts attempts since time 0; `skip` are the stream's turns until its next burst, `asking` is whether
    the next attempt is the probe's turn, `probing` the probe under way.
    """

    controller: Controller
    gap: int
    left: int
    stream: Callable[[], Burst]
    probe: Callable[[], Burst] | None = None
    position: int = 0
    skip: int = 0
    asking: bool = False
    blocked: bool = False
    probing: Burst | None = None
    _kept: Burst | None = None
    _kept_probe: Burst | None = None

    @property
    def next_clock(self) -> int:
        """The controller's tick of the next attempt that could do something it could not do before."""
        if self.blocked or not self.left:
            return NEVER
        turns = 2 * self.skip - self.asking if self._waits else 0
        return (self.position + turns) // ATTEMPTS

    @property
    def _waits(self) -> bool:
        """Whether only the stream has anything to offer."""
        return self.probe is None or self.probing is not None

    def feed(self) -> None:
        """Make the attempts that fall into the controller's present tick."""
        self._pass(self.controller.clock * ATTEMPTS)
        if self.probing is not None and 0 <= self.probing.done <= self.controller.clock:
            self.probing = None
        self.blocked = False
        end = (self.controller.clock + 1) * ATTEMPTS
        while self.position < end and self.left and not self.blocked:
            if self._waits and (self.skip or self.asking):
                self._pass(end)
            elif self.asking:
                self._ask()
            elif self.skip:
                self._turn(asked=True)
            else:
                self._offer()

    def _turn(self, *, asked: bool) -> None:
        """One attempt of the stream goes by; the next is the probe's where `asked`."""
        self.position += 1
        self.skip = (self.skip or self.gap) - 1
        self.asking = asked

    def _pass(self, end: int) -> None:
        """Let turns go by up to attempt `end`, or until the stream's next burst."""
        if self.blocked:
            self.position = end
            return
        if self.asking and self.position < end:
            self.position, self.asking = self.position + 1, False
        pairs = min(self.skip, max(0, end - self.position) // 2)
        self.position += 2 * pairs
        self.skip -= pairs
        if self.skip and self.position < end:
            self._turn(asked=True)

    def _offer(self) -> None:
        burst = self._kept or self.stream()
        if self.controller.offer(burst):
            self._kept = None
            self.left -= 1
            self._turn(asked=True)
        else:
            # Nothing changes before the next tick; a stream without gaps offers the burst again then.
            self._kept = burst
            self.blocked = self.gap == 1
            if not self.blocked:
                self._turn(asked=False)

    def _ask(self) -> None:
        assert self.probe is not None
        burst = self._kept_probe or self.probe()
        if self.controller.offer(burst):
            self._kept_probe, self.probing = None, burst
            self.left -= 1
            self.position, self.asking = self.position + 1, False
        else:
            self._kept_probe, self.blocked = burst, True
