"""Forwards that share code: classes of equal shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Forward, OperatorRows
from workloads.lowering.plan.dims import ceil_div
from workloads.lowering.plan.machine_view import MachineView

MOST_SHAPES = 16
"""Shapes that get code of their own. Where a window has more, forwards share code by numbers of tiles."""


@attrs.frozen
class ForwardClass:
    """What fixes the code of a forward. Everything else stands in tables that the code reads.

    `key_tiles` counts tiles of `hlen` keys, the last one with `masked` tails; `causal` keeps rows from
    seeing keys behind them. Row numbers are the most of any forward of the class.
    """

    kind: str
    q_rows: int
    key_tiles: int
    masked: bool
    causal: bool
    head_rows: int
    tail: int = 0
    """Keys of the last tile where that is no full one and rows see no keys behind them."""
    rows_vary: bool = False
    """Whether forwards have different numbers of query rows, though of as many tiles."""
    head_varies: bool = False
    """Whether that is so of LM-head rows, or not all of them are sampled."""
    scattered: bool = False
    """Whether rows stand anywhere on the canvas, so that a list of them is read."""
    head_scattered: bool = False
    """Whether that is so of the LM-head rows among the query rows."""
    gap_rows: int = 0
    """Rows whose two largest logits are compared."""
    score: str = "confidence"
    network: str = ""
    """Network that the rows go through; empty: the model."""
    layers: int = 0
    """Layers of it that run; 0: all."""
    policy_parameters: int = 0
    """Weights of the network behind sampling that chooses rows, if any."""
    policy_rows: int = 0
    """Rows that go through it."""
    policy_varies: bool = False
    """Whether forwards have different numbers of them, though of as many tiles."""
    soft_rows: int = 0
    """Query rows that enter as mixtures of embeddings, which the forward before has left."""
    soft_terms: int = 0
    """Embeddings in each; 0: all."""
    soft_varies: bool = False
    mix_rows: int = 0
    """Rows of which the forward leaves mixtures for the next one."""
    mix_terms: int = 0
    mix_varies: bool = False
    causal_rows: int = 0
    """Query rows of a group that sees no keys of the groups behind it; 0: all see all keys."""
    end_test: bool = False
    """Whether sampled tokens are compared with the one that ends a text."""
    separate: bool = False
    """Whether it sees none of those before it either."""
    tree: int = 0
    """Nodes at each depth of a tree of which each row sees its ancestors only, if any."""
    sequences: int = 1
    kv_rows: int = 0
    """Rows attended to, where those are blocks of `key_block` rows anywhere on the canvas."""
    block_rows: int = 0
    """Rows of a block of keys, where blocks are chosen or have been."""
    chosen_blocks: int = 0
    """Blocks that are chosen, for each head and query tile."""
    score_passes: int = 0
    """Further passes of queries over keys, from which they are chosen."""
    operators: OperatorRows | None = None
    """Rows by operator, where layers do not send the same through all; `q_rows` are then the first layer's."""
    run: int = 0
    """Of rows by operator, those that are one run; the others stand alone."""
    run_start: int = 0
    """First row of the run."""
    weight_density: float = 1.0
    """Share of the layers' weights that is stored."""
    index_bits: int = 0
    """Bits that say where each of them stands."""
    compares: bool = False
    """Whether the logits of the forward before are compared."""
    draws: int = 1
    """Tokens that are sampled for every row."""
    drafts: bool = False
    """Whether the sequences are drafts of one, copies of its canvas."""
    verified: int = 0
    """Rows of a sequence whose sampled tokens are compared with those that stand on the canvas."""

    @property
    def key_block(self) -> int:
        """Rows of a block of keys, where only chosen ones are seen; otherwise 0."""
        return 0 if self.score_passes else self.block_rows

    def weight_share(self, bits: int) -> float:
        """Stored elements for each weight of `bits` bits: all of them where an index would take more room."""
        return min(1.0, self.weight_density * (bits + self.index_bits) / bits)

    def own_tiles(self, hlen: int) -> int:
        """Key tiles among which the forward's own keys may be, where its query rows have masks of their own, or 0."""
        if not (self.causal_rows or self.tree):
            return 0
        return min(self.key_tiles, ceil_div(self.q_rows - 1, hlen) + 1)

    @property
    def decodes(self) -> bool:
        """Whether the query row is the token sampled last, rather than one of the canvas."""
        return self.kind == "decode"


def _check(forward: Forward) -> None:
    if forward.score_passes and not (forward.key_block and forward.chosen_blocks):
        found = f"forward {forward.index}: score_passes is {forward.score_passes}"
        raise WorkloadError(f"{found}; expected a key_block and chosen_blocks with it, or no further passes")
    if (forward.write_start, forward.write_rows) != (forward.q_start, forward.q_rows):
        raise WorkloadError(f"forward {forward.index}: writes K/V of other rows than it sends; expected the same rows")
    if forward.causal_rows or forward.tree:
        divided = forward.q_rows % max(forward.causal_rows, 1) == 0
        if forward.scattered or forward.q_start + forward.q_rows != forward.kv_rows or not divided:
            found = f"forward {forward.index}: rows that do not all see the same keys"
            raise WorkloadError(f"{found}; expected whole groups of them, whose keys are the last ones")
    if forward.tree and forward.sequences > 1:
        raise WorkloadError(f"forward {forward.index}: trees of {forward.sequences} sequences; expected one sequence")


def classify(forward: Forward, hlen: int) -> ForwardClass:
    """The class of a forward on a machine with `hlen` keys a tile, if its shape gets code of its own."""
    _check(forward)
    causal = forward.kind == "prefill"
    if causal and forward.q_start:
        raise WorkloadError(f"forward {forward.index}: prefill from row {forward.q_start}; expected from row 0")
    masked = forward.kind == "decode" or (forward.kv_rows % hlen > 0 and not causal)
    tiles = ceil_div(forward.kv_rows, hlen)
    tail = forward.kv_rows % hlen if causal else 0
    sparse = forward.key_block > 0 and not forward.score_passes
    rows = forward.operators
    run = 0 if rows is None else forward.q_rows - loose_rows(forward)
    q_rows = forward.q_rows if rows is None else rows.first_layer
    return ForwardClass(
        forward.kind, q_rows, tiles, masked, causal, forward.head_rows, tail,
        head_varies=0 < forward.sampled_rows < forward.head_rows, scattered=forward.scattered and rows is None,
        head_scattered=(forward.scattered and rows is None) or forward.head_scattered,
        gap_rows=forward.gap_rows, score=forward.score, network=forward.network, layers=forward.layers,
        policy_parameters=forward.policy_parameters, policy_rows=forward.policy_rows,
        weight_density=forward.weight_density, index_bits=forward.index_bits,
        compares=forward.compared_rows > 0,
        kv_rows=forward.kv_rows if sparse else 0, block_rows=forward.key_block,
        chosen_blocks=forward.chosen_blocks, score_passes=forward.score_passes,
        operators=rows, run=run, run_start=forward.q_start if run else 0,
        sequences=forward.sequences, draws=forward.draws,
        drafts=min(forward.branches, forward.sequences) > 1, verified=forward.verified_rows,
        soft_rows=forward.soft_rows, soft_terms=forward.soft_terms,
        end_test=forward.end_test, causal_rows=forward.causal_rows, separate=forward.separate, tree=forward.tree,
    )  # fmt: skip


def loose_rows(forward: Forward) -> int:
    """Query rows that stand alone."""
    return forward.loose_rows or (forward.q_rows if forward.scattered else 0)


def first_row(forward: Forward) -> int:
    """The first row of the canvas that the forward embeds: all of them where the first layer takes all."""
    return 0 if forward.operators is not None else forward.q_start


def row_fields(forward: Forward, hlen: int) -> dict[str, int]:
    """The integers of a forward that its code reads rather than contains."""
    loose, rows = forward.loose_rows or forward.q_rows, forward.q_rows
    if forward.operators is not None:
        rows = forward.operators.key
        loose = min(loose_rows(forward), rows)
    offset = forward.head_start - first_row(forward)
    if (forward.scattered and forward.operators is None) or forward.head_rows == 0:
        offset = max(0, min(offset, forward.q_rows - forward.head_rows))
    return {
        "q_start": 0 if forward.scattered else first_row(forward),
        "head_offset": offset,
        "head_start": forward.head_start,
        "committed": forward.committed + forward.free_commits,
        "tail": (forward.kv_rows - 1) % hlen + 1,
        "q_rows": forward.q_rows,
        "head_rows": forward.head_rows,
        "sampled": forward.sampled_rows,
        "pairs": ceil_div(forward.sampled_rows, 2),
        "loose": loose,
        "run": rows - loose,
        "runs": int(rows > loose),
        "policy_rows": forward.policy_rows,
        "accepted": max(forward.committed - 1, 0) if forward.tree else 0,
        "soft_rows": forward.soft_rows,
        "soft_start": max(forward.block_start - forward.q_start, 0) if forward.soft_rows else 0,
    }


def mixed_rows(forward: Forward, following: Forward) -> dict[str, int]:
    """How many rows of its logits a forward mixes for the next one, and the first of them."""
    most = max(forward.head_rows - following.soft_rows, 0)
    start = following.block_start - forward.head_start
    return {"mix_rows": following.soft_rows, "mix_start": max(0, min(start, most))}


def classify_all(forwards: Sequence[Forward], view: MachineView) -> list[ForwardClass]:
    """The class of every forward: by shape, or by numbers of tiles where there are too many shapes."""
    exact = [classify(forward, view.hlen) for forward in forwards]
    for index, (kind, forward, following) in enumerate(zip(exact, forwards, forwards[1:], strict=False)):
        if following.soft_rows > forward.head_rows:
            found = f"forward {following.index}: {following.soft_rows} soft rows"
            raise WorkloadError(f"{found}; expected at most the {forward.head_rows} LM-head rows of the forward before")
        exact[index] = attrs.evolve(kind, mix_rows=following.soft_rows, mix_terms=following.soft_terms)
    if len(set(exact)) <= MOST_SHAPES:
        return exact

    def tiles(kind: ForwardClass) -> ForwardClass:
        if kind.causal or kind.decodes:
            return kind
        q_tiles, head_tiles = ceil_div(kind.q_rows, view.blen), ceil_div(kind.head_rows, view.blen)
        behind: dict[str, Any] = {name: ceil_div(getattr(kind, name), view.blen) for name in _BEHIND}
        return attrs.evolve(kind, q_rows=q_tiles, head_rows=head_tiles, masked=True, head_varies=False, **behind)

    members: dict[ForwardClass, list[ForwardClass]] = {}
    for kind in exact:
        members.setdefault(tiles(kind), []).append(kind)
    return [_merged(members[tiles(kind)]) for kind in exact]


_BEHIND = ("policy_rows", "soft_rows", "mix_rows")
"""Further numbers of rows that forwards of a class may differ in."""


def _behind(kinds: list[ForwardClass]) -> dict[str, Any]:
    """The most of each of these, and whether they differ."""
    out: dict[str, Any] = {}
    for name in _BEHIND:
        counts = {getattr(kind, name) for kind in kinds}
        out |= {name: max(counts), f"{name.removesuffix('_rows')}_varies": len(counts) > 1}
    return out


def _merged(kinds: list[ForwardClass]) -> ForwardClass:
    """One class for all of these, which have as many tiles."""
    return attrs.evolve(
        kinds[0],
        q_rows=max(kind.q_rows for kind in kinds),
        head_rows=max(kind.head_rows for kind in kinds),
        masked=any(kind.masked for kind in kinds),
        **_behind(kinds),
        rows_vary=len({kind.q_rows for kind in kinds}) > 1,
        head_varies=any(kind.head_varies for kind in kinds) or len({kind.head_rows for kind in kinds}) > 1,
    )
