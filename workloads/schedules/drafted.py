"""Autoregressive decoding with a block of tokens drafted by diffusion: BASTION, TAPS and Orthrus."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY, PAPER_READ
from workloads.forwards import Forward
from workloads.schedules.base import ScheduleBase
from workloads.schedules.commits import Profile
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class DraftedSchedule(Logged, ScheduleBase):
    """The prompt's forward gives the first token; then pairs of forwards draft a block and verify it.

    The drafter sends `block` rows, the last token and masks behind it. The model sends `nodes` drafted tokens
    with it, a tree or a row of them, and commits those that it would have chosen itself and one more: 1 to `block`
    tokens, at most `nodes` + 1. Counts have 1 for the prompt and 0 for drafts; a mean is that of verifications.
    K/V of rejected nodes are overwritten.
    """

    kind: ClassVar[str] = "speculative"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=16, metadata=option("rows of a draft", minimum=2))
    nodes: int = attrs.field(default=16, metadata=option("drafted tokens that are verified", minimum=1))

    @property
    @abc.abstractmethod
    def drafter(self) -> dict[str, Any]:
        """Fields of the drafting forward: its network and layers."""

    @property
    def verifier(self) -> dict[str, Any]:
        """Fields of the verifying forward: what its rows see of each other."""
        return {"tree": -(-self.nodes // (self.block - 1))}

    def forwards(self) -> Iterator[Forward]:
        """The prompt's forward, then the pairs."""
        stream = self.stream()
        stream.take(1, least=1)
        head = Rows(self.prompt - 1, 1)
        query = Rows(0, self.prompt)
        yield make_forward(Place(0, self.prompt, 0, 0), "prefill", query, self.prompt, head=head, committed=1)
        done, index = 1, 1
        stream.start_block()
        while done < self.gen:
            start = self.prompt + done - 1  # where the last token stands, whose K/V are still missing
            place = Place(index, start, (index + 1) // 2, 0)
            stream.take(self.gen - done, most=0)
            yield self._forward(place, self.block, 0, provisional=self.block - 1, **self.drafter)
            committed = stream.take(self.gen - done, least=1, most=min(self.block, 1 + self.nodes)).committed
            following = attrs.evolve(place, index=index + 1, step=1)
            yield self._forward(following, 1 + self.nodes, committed, verified_rows=self.nodes, **self.verifier)
            done, index = done + committed, index + 2
        stream.finish()

    def _forward(self, place: Place, rows: int, committed: int, **fields: Any) -> Forward:
        query = Rows(place.block_start, rows)
        return make_forward(place, "refine", query, query.start + rows, committed=committed, **fields)


@attrs.frozen(kw_only=True)
class BastionSchedule(DraftedSchedule):
    """A diffusion drafter of few layers; a tree whose size follows a latency model, here `nodes`."""

    name: ClassVar[str] = "bastion"
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = "arXiv 2605.29727; kaist-ai-osi-lab/BASTION"

    nodes: int = attrs.field(default=64, metadata=option("drafted tokens that are verified", minimum=1))
    draft_layers: int = attrs.field(default=5, metadata=option("layers of the drafter", minimum=1))

    @property
    def drafter(self) -> dict[str, Any]:
        """A network of the model's width."""
        return {"network": "drafter", "layers": self.draft_layers}


@attrs.frozen(kw_only=True)
class TapsSchedule(BastionSchedule):
    """A diffusion drafter; of its tree the best prefix-closed part of `nodes` tokens is verified."""

    name: ClassVar[str] = "taps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2606.00487"

    @property
    def published(self) -> Profile:
        """The acceptance length on GSM8K."""
        return Profile(Fraction("8.26"), "TAPS, acceptance length on GSM8K, per verification")


@attrs.frozen(kw_only=True)
class OrthrusSchedule(DraftedSchedule):
    """A diffusion view of the model itself drafts a block; its autoregressive view verifies it as one row of tokens.

    Both see the same K/V. The diffusion view has attention weights of its own beside the model's other ones,
    which is taken as a forward through the model.
    """

    name: ClassVar[str] = "orthrus"
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = "arXiv 2605.12825; chiennv2000/orthrus"

    block: int = attrs.field(default=32, metadata=option("rows of a draft", minimum=2))
    nodes: int = attrs.field(default=31, metadata=option("drafted tokens that are verified", minimum=1))

    @property
    def drafter(self) -> dict[str, Any]:
        """The model."""
        return {}

    @property
    def verifier(self) -> dict[str, Any]:
        """Each row sees what stands before it."""
        return {"causal_rows": 1}
