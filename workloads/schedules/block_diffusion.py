"""Block-causal models of which little more is known than that: Seed Diffusion, Efficient-DLM, NBDiff."""

from __future__ import annotations

from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.schedules.block_causal import BlockCausalSchedule


@attrs.frozen(kw_only=True)
class SeedDiffusionSchedule(BlockCausalSchedule):
    """Semi-autoregressive blocks with a KV cache; what shortened its trajectories was training."""

    name: ClassVar[str] = "seed-diffusion"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2508.02193"


@attrs.frozen(kw_only=True)
class EfficientDlmSchedule(BlockCausalSchedule):
    """An autoregressive model made block-causal by training, decoded by confidence."""

    name: ClassVar[str] = "efficient-dlm"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2512.14067"


@attrs.frozen(kw_only=True)
class NbdiffSchedule(BlockCausalSchedule):
    """Causal context, of prompt and finished blocks alike, and one block that sees itself in both directions.

    A finished block's stored K/V are those of causal attention, so that the forward that stores it is needed
    whatever the last denoising forward saw. The growing block size belongs to training.
    """

    name: ClassVar[str] = "nbdiff"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2512.06776"
