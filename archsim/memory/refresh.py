"""Refresh as a deterministic function of elapsed time: which times the data bus is lost to it.

The k-th refresh (k >= 1) takes the bus for [k tREFI - loss, k tREFI). With all banks refreshed together
the loss is tRTP + tRP + tRFC + tRCD: the last read drains, everything is precharged, refreshed, and
the page in use is opened again. (CL cancels: it delays the data before and after.) This predicts
90.2 % of peak for HBM2-2000 where Ramulator 2.1 measures 89.7 %. Because each window ends on a multiple of
tREFI, floor(T / tREFI) whole windows lie in any [0, T): no run beats the analytic bound.

Per-bank refresh is approximated: the controller refreshes banks that are not in use, so a stream only
pays for reopening the pages of one row set, bank_groups * (tRP + tRCD) per tREFI. No oracle covers it.
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.memory.delays import QUANTUM_PS, whole
from archsim.memory.timing import DramTiming

REFRESH_MODES = ("all-bank", "per-bank", "off")
NEVER = 1 << 62


@attrs.define(eq=False)
class Refresh:
    """Windows of `loss_ps` at the end of every `interval_ps`; `interval_ps` 0 means no refresh.

    All times given are simulated; `offset_ps` (time skipped by replay) is added to get elapsed time.
    """

    interval_ps: int = 0
    loss_ps: int = 0
    cycle_ps: int = 0
    closes_rows: bool = False
    offset_ps: int = 0

    @property
    def usable_ps(self) -> int:
        """Time between two windows."""
        return self.interval_ps - self.loss_ps

    def advance(self, start: int, need: int) -> int:
        """When `need` > 0 ps of bus time have passed that begin no earlier than `start`."""
        interval = self.interval_ps
        if not interval:
            return start + need
        offset, loss = self.offset_ps, self.loss_ps
        usable = interval - loss
        windows, phase = divmod(start + offset, interval)
        whole, rest = divmod((phase if phase < usable else usable) + need - 1, usable)
        return (windows + whole) * interval + rest + 1 - offset

    def align(self, start: int) -> int:
        """`start`, or the end of the window that it lies in."""
        interval = self.interval_ps
        if not interval:
            return start
        phase = (start + self.offset_ps) % interval
        return start if phase < interval - self.loss_ps else start - phase + interval

    def quiet(self, epoch: int) -> tuple[int, int]:
        """Elapsed times between which no window lies, after the `epoch`-th one."""
        interval = self.interval_ps
        return (epoch * interval, (epoch + 1) * interval - self.loss_ps) if interval else (0, NEVER)

    def epoch(self, when: int) -> int:
        """Number of windows begun by `when`; rows opened in another epoch are closed."""
        interval = self.interval_ps
        return (when + self.offset_ps + self.loss_ps) // interval if interval else 0

    def free_ps(self, duration: int) -> int:
        """Time of a run of `duration` that is not refresh: duration - floor(duration / tREFI) * tRFC.

        Per-bank refresh leaves the bus to other banks, so it takes nothing from the bound.
        """
        if not self.interval_ps or not self.closes_rows:
            return duration
        return duration - duration // self.interval_ps * self.cycle_ps


@attrs.frozen
class Spread:
    """Refresh without a phase: the time it takes is charged to the data, a part for every local byte address.

    `per_period_ps` is the charge for `period_bytes`, one row of every bank. Addresses a whole number of
    periods apart are charged alike, so that loop iterations which move by such strides cost the same.
    """

    period_bytes: int
    per_period_ps: int
    wait_ps: int
    """Mean wait of a request that finds the bus idle: the chance to come during a refresh, times half of its time."""

    def charge(self, local: int, nbytes: int) -> int:
        """Time in ps that refresh adds to `nbytes` from `local` on; charges of adjacent runs add up."""
        return self._upto(local + nbytes) - self._upto(local)

    def _upto(self, local: int) -> int:
        periods, rest = divmod(local, self.period_bytes)
        return periods * self.per_period_ps + rest * self.per_period_ps // (self.period_bytes * QUANTUM_PS) * QUANTUM_PS


def make_spread(refresh: Refresh, period_bytes: int, data_ps: int) -> Spread:
    """Refresh spread over data, `data_ps` being the bus time of `period_bytes`, in whole QUANTUM_PS.

    The charge is rounded up: rows that a refresh closes cost a little more than its window.
    """
    interval, loss = refresh.interval_ps, refresh.loss_ps
    lost = data_ps * loss // (interval - loss) if interval else 0
    wait = loss * loss // (2 * interval) if interval else 0
    return Spread(period_bytes, whole(lost), whole(wait))


def make_refresh(timing: DramTiming, mode: str) -> Refresh:
    """Refresh of `mode` ("all-bank", "per-bank", "off"); raises ConfigError for another name."""
    tck = timing.tck_ps
    if mode == "all-bank":
        loss = timing.rtp + timing.rp + timing.rfc + timing.rcd_rd
        return Refresh(timing.refi * tck, loss * tck, timing.rfc * tck, closes_rows=True)
    if mode == "per-bank":
        loss = timing.bank_groups * (timing.rp + timing.rcd_rd)
        return Refresh(timing.refi * tck, loss * tck, timing.rfc_pb * tck)
    if mode == "off":
        return Refresh()
    raise ConfigError("memory.refresh", mode, "one of " + ", ".join(REFRESH_MODES))
