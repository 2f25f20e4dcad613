"""FreeDave on a full-attention model: one forward verifies several drafts of the block, each a step further.

Source: cychomatica/FreeDave 8b48121 generation/core.py, block_decode_with_full_attention_FreeDave.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import Stream
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class FreedaveSchedule(Logged, BlockSchedule):
    """Static drafts, without the eager mode: a refresh forward a block, then forwards that verify drafts.

    A verifying forward has min(draft_steps, masked / token_per_step rounded up) branches and accepts the tokens
    of some first branches, at least one. Once at most token_per_step masks are left they commit without a
    forward (`free_commits` of the block's last one). draft_mode "tree" sends all branches as one sequence
    whose attention sees the other rows once and no rows of other branches, which stand behind the rest of the canvas;
    "batch" sends a sequence a branch.

    as "implemented": LM head over the query rows; "ideal": over the block's rows of each branch, and over
    the block in the refresh forward.
    """

    name: ClassVar[str] = "freedave"
    kind: ClassVar[str] = "speculative"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2510.00294; cychomatica/FreeDave 8b48121"

    draft_steps: int = attrs.field(default=4, metadata=option("drafts verified by a forward", minimum=1))
    token_per_step: int = attrs.field(default=1, metadata=option("tokens a draft adds", minimum=1))
    cache: str = attrs.field(default="dual", metadata=option("KV cache", choices=("prefix", "dual")))
    draft_mode: str = attrs.field(default="tree", metadata=option("how drafts are sent", choices=("tree", "batch")))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        index = 0
        for block in range(self.blocks):
            stream.start_block()
            step, branches, masked = 0, 0, self.block
            while step == 0 or masked:
                committed = self._take(stream, branches, masked)
                masked -= committed
                free = masked if masked <= self.token_per_step else 0
                place = Place(index, self.prompt + block * self.block, block, step)
                yield self._forward(place, branches, committed, free)
                masked -= free
                index, step = index + 1, step + 1
                branches = min(self.draft_steps, -(-masked // self.token_per_step))
        stream.finish()

    def _take(self, stream: Stream, branches: int, masked: int) -> int:
        most = min(branches * self.token_per_step, masked)
        committed = stream.take(masked, least=min(most, self.token_per_step), most=most).committed
        if committed % self.token_per_step and committed != masked:
            found = f"a forward commits {committed} with token-per-step {self.token_per_step}"
            raise refusal(self, found, "whole drafts")
        return committed

    def _forward(self, place: Place, branches: int, committed: int, free: int) -> Forward:
        canvas = self.canvas.count
        drafts = max(branches, 1)
        if branches == 0:
            kind, own, kv_rows = "warm", self.canvas, canvas
        else:
            kind, own = "refine", self.own(place) if self.cache == "dual" else self.rest(place)
            kv_rows = canvas + (branches - 1) * own.count
        head = self.own(place) if self.ideal else own
        if self.draft_mode == "batch":
            return make_forward(
                place, kind, own, canvas, head=head, committed=committed, sequences=drafts, branches=drafts,
                free_commits=free, committing=1, verified_rows=head.count if branches else 0,
            )
        query = Rows(kv_rows - drafts * own.count, drafts * own.count)
        head = Rows(query.start + head.start - own.start, drafts * head.count)
        separate = {"causal_rows": own.count, "separate": True} if drafts > 1 else {}
        return make_forward(
            place, kind, query, kv_rows, head=head, committed=committed, branches=drafts, free_commits=free,
            verified_rows=head.count if branches else 0, **separate,
        )  # fmt: skip
