"""What a program's header says in words: layout, approximations, passes over the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workloads.forwards import Forward
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.networks import Networks
from workloads.lowering.sampling.scores import LIKELIHOOD
from workloads.lowering.sampling.stability import STABILITY
from workloads.lowering.sampling_variant import GREEDY


def program_notes(
    options: LoweringOptions,
    forwards: Sequence[Forward],
    passes: dict[ForwardClass, tuple[int, int]],
    networks: Networks,
    ring: int,
) -> tuple[str, ...]:
    """The notes of a program; `passes` over a layer's weights of every class, `ring` tiles of the weight ring."""
    return (
        "RMSNorm gains and 1/sqrt(head_dim) are folded into the weights that follow",
        "KV cache: [layer][K|V][sequence][group of KV heads][token][lane], K after RoPE",
        f"KV scheme {options.kv_scheme}; MX rule: OCP floor",
        f"weight ring: {ring} tiles; the ring's first tiles are fetched once more at the end",
        "sampled tokens do not steer the gather: ids are synthetic",
        *([f"sampling: {options.sampling}"] if options.sampling != GREEDY else []),
        *_approximations(forwards, list(passes)),
        *(
            f"{kind.kind} of {kind.q_rows} rows: {groups} x {tiles} passes over a layer's weights, "
            "for groups of sequences x row tiles"
            for kind, (groups, tiles) in passes.items()
            if groups * tiles > 1
        ),
        *networks.notes(),
    )


_NOTES: tuple[tuple[Callable[[ForwardClass], object], str], ...] = (
    (
        lambda kind: kind.tree,
        (
            "trees of drafted tokens: made up, all nodes of a depth below the last one of the depth before, which are "
            "those that are accepted; how a drafter's tokens become a tree is not counted"
        ),
    ),
    (
        lambda kind: kind.scattered,
        (
            "scattered rows: tokens, rotary rows and K/V stores row by row, at made-up positions; "
            "keys are loaded as one run"
        ),
    ),
    (
        lambda kind: kind.drafts,
        "drafts as a batch: canvases are copied on chip; the last one stands for that which is kept",
    ),
    (
        lambda kind: kind.score == LIKELIHOOD,
        "likelihoods: a given token's logit is its row's product with the token's embedding",
    ),
    (
        lambda kind: kind.weight_density < 1,
        (
            "stored weights with an index each, also counted for their scales; they are spread out on their way into "
            "Matrix SRAM, and products take as long as with all weights"
        ),
    ),
    (
        lambda kind: kind.score == STABILITY,
        (
            "rows chosen by probability * exp(-KL to the forward before), from the logits of both; "
            "that form of the weighting is an assumption"
        ),
    ),
    (
        lambda kind: kind.operators,
        (
            "rows by operator: chosen in every layer by the cosine to earlier values, but those taken are made up; "
            "outputs that are left out come from HBM, in the format of tables, as one run"
        ),
    ),
    (
        lambda kind: kind.block_rows,
        (
            "key blocks: a block is one transfer for all heads of a tile, which blocks are taken is made up; further "
            "passes go over all keys"
        ),
    ),
    (
        lambda kind: kind.draws > 1,
        "several draws: each further one reads the logits again for their maximum, without noise",
    ),
    (
        lambda kind: kind.rows_vary or kind.head_varies,
        "forwards with as many row tiles share code and read their row counts from a table",
    ),
    (
        lambda kind: kind.soft_rows or kind.mix_rows,
        (
            "rows that enter as mixtures of embeddings are taken as the first of the block; mixtures are made from the "
            "logits of the forward before, with weight 1, and lie in HBM in between"
        ),
    ),
)
"""What is to be said where some class of forwards asks for it."""


def _approximations(forwards: Sequence[Forward], kinds: list[ForwardClass]) -> list[str]:
    notes = [text for applies, text in _NOTES if any(applies(kind) for kind in kinds)]
    if any(forward.branches > 1 and forward.sequences == 1 and not forward.separate for forward in forwards):
        notes.append("lanes in one forward: rows attend to the keys of all, without masks between them")
    notes += [
        f"policy network: {weights:,} weights, taken as matrices of the hidden width one after another; its rows are "
        "those of the LM head with their tokens' embeddings, and its scores stand in for confidences"
        for weights in sorted({kind.policy_parameters for kind in kinds} - {0})
    ]
    return notes
