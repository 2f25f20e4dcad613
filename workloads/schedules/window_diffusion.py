"""Window-Diffusion on LLaDA: between refreshes only the leftmost masks and fresh tokens are computed.

Source: vhicrgit/Window-Diffusion d8bb349 llada/model/modeling_llada.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import CanvasSchedule
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class WindowDiffusionSchedule(CanvasSchedule):
    """No blocks: phases of `refresh_cycle` steps, each a whole-canvas forward and then pruned ones.

    A pruned forward sends the first `active_tokens` masked rows and tokens of this phase: in the step after the
    refresh those it committed, later those of the pruned steps. Its rows attend to what was decoded at the
    phase's start and to the first `window_tokens` masks. Where a static count exceeds the active masks, the
    reference overwrites decoded rows and returns with masks; as "ideal" refuses that.

    as "implemented": LM head and sampling over the query rows; "ideal": over the masked ones among them.
    A "block" here is a phase.
    """

    name: ClassVar[str] = "window-diffusion"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "vhicrgit/Window-Diffusion d8bb349"

    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps; default gen", minimum=1),
    )
    window_tokens: int = attrs.field(default=64, metadata=option("masked rows attended to", minimum=1))
    active_tokens: int = attrs.field(default=16, metadata=option("masked rows sent", minimum=1))
    refresh_cycle: int = attrs.field(default=32, metadata=option("steps of a phase", minimum=1))

    def _check(self) -> None:
        super()._check()
        most = max((k for step, k in enumerate(self._counts) if step % self.refresh_cycle), default=0)
        if most > self.active_tokens and self.ideal:
            found = f"{most} tokens a step with active-tokens {self.active_tokens}, which leaves masks"
            raise refusal(self, found, "more steps, more active-tokens, or as implemented")
        for step, active in enumerate(self._active_rows()):
            if self._counts[step] > active:
                found = f"step {step} commits {self._counts[step]} of {active} active rows"
                raise refusal(self, found, "no more than the active rows")

    @property
    def _counts(self) -> tuple[int, ...]:
        return transfer_counts(self.gen, self.steps)

    def _active_rows(self) -> Iterator[int]:
        return (forward.q_rows for forward in self.forwards())

    def forwards(self) -> Iterator[Forward]:
        """The forwards, one a step."""
        canvas, masked = self.canvas.count, self.gen
        fresh = visible = 0  # tokens of this phase that are sent again; rows attended to in this phase
        for index, planned in enumerate(self._counts):
            phase, step = divmod(index, self.refresh_cycle)
            active = masked if step == 0 else min(self.active_tokens, masked)
            committed = min(planned, active)
            place = Place(index, self.prompt, phase, step)
            if step == 0:
                yield self._forward(place, canvas, canvas, active, committed)
                left = masked - committed
                visible = canvas - left + min(self.window_tokens, left)
                fresh = planned
            else:
                yield self._forward(place, active + fresh, visible, active, committed)
                fresh = planned if step == 1 else fresh + planned
            masked -= committed

    def _forward(self, place: Place, q_rows: int, kv_rows: int, active: int, committed: int) -> Forward:
        whole = place.step == 0
        query = Rows(0 if whole else self.prompt, q_rows)
        head = Rows(self.prompt, active) if self.ideal else query
        kind = "warm" if whole else "refine"
        return make_forward(place, kind, query, kv_rows, head=head, committed=committed, scattered=not whole)
