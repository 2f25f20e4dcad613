"""Left-to-right generation with a KV cache: the baseline that diffusion schedules are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CLOSED_FORM
from workloads.forwards import Forward
from workloads.schedules.base import ScheduleBase
from workloads.schedules.options import option


@attrs.frozen(kw_only=True)
class AutoregressiveSchedule(ScheduleBase):
    """Prefill the prompt, which gives the first token, then one decode forward for each further token.

    Forward i sends token i-1 and attends to prompt + i rows; only its last row meets the LM head. The last
    token generated is never sent. A block is one token: `block_start` is the position the new token takes.
    Attention of the prefill is causal; `kv_rows` counts the rows its last query sees.
    """

    name: ClassVar[str] = "autoregressive"
    kind: ClassVar[str] = "core"
    evidence: ClassVar[str] = CLOSED_FORM
    source: ClassVar[str] = "the usual decoder loop"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    batch: int = attrs.field(default=1, metadata=option("sequences generated together", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The prefill and gen - 1 decode forwards."""
        yield self._forward(0, "prefill", 0, self.prompt)
        for index in range(1, self.gen):
            yield self._forward(index, "decode", self.prompt + index - 1, 1)

    def _forward(self, index: int, kind: str, q_start: int, q_rows: int) -> Forward:
        end = q_start + q_rows
        return Forward(
            index=index,
            kind=kind,
            q_rows=q_rows,
            kv_rows=end,
            head_rows=1,
            sampled_rows=1,
            committed=1,
            sequences=self.batch,
            q_start=q_start,
            write_start=q_start,
            write_rows=q_rows,
            head_start=end - 1,
            block_start=end,
            block_index=index,
            step_in_block=0,
        )
