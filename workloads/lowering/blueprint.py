"""All that is decided for a program before its first instruction: sizes, places, tables, who chooses which experts."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Forward
from workloads.lowering.emit.context import Tensors
from workloads.lowering.expert_plan import check_experts, choose_experts
from workloads.lowering.head_plans import mix_parts
from workloads.lowering.layout import Layout
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass, first_row
from workloads.lowering.plan.dims import Dims, make_dims
from workloads.lowering.plan.extent import Extent, cache_rows
from workloads.lowering.plan.fit import fit_program
from workloads.lowering.plan.hbm import HbmMap
from workloads.lowering.plan.machine_view import MachineView
from workloads.lowering.plan.matrix import MatrixPlan, plan_matrix, with_pieces
from workloads.lowering.plan.networks import Networks, find_networks
from workloads.lowering.plan.operators import leading
from workloads.lowering.plan.rounds import Rounds, make_rounds
from workloads.lowering.plan.routing import RoutingPlan
from workloads.lowering.plan.vectors import VectorPlan
from workloads.lowering.sampling.stability import STABILITY
from workloads.lowering.tables import Tables, make_tables
from workloads.lowering.tensors import place_tensors
from workloads.shape import ModelShape


@attrs.frozen(kw_only=True)
class Blueprint:
    """A program before it is emitted."""

    options: LoweringOptions
    rounds: Rounds
    networks: Networks
    dims: Dims
    vectors: Sequence[VectorPlan]
    """One for each class of forwards."""
    extent: Extent
    matrix: MatrixPlan
    mix_parts: int
    """Parts of the vocabulary where rows enter as mixtures of all embeddings."""
    hbm: HbmMap
    tensors: Tensors
    tables: Tables
    routing: RoutingPlan | None

    @property
    def sequences(self) -> int:
        """Sequences that there are at once at most."""
        return self.extent.sequences

    @property
    def slots(self) -> int:
        """KV scale slots that the program uses."""
        return _slots(self.options, self.networks, self.dims, self.sequences)

    @property
    def passes(self) -> dict[ForwardClass, tuple[int, int]]:
        """Groups of sequences and row tiles in which each class goes through the layers."""
        pairs = zip(self.rounds.classes, self.vectors, strict=True)
        return {kind: (kind.sequences // vectors.sequences, vectors.tiles) for kind, vectors in pairs}

    def layout(self) -> Layout:
        """Where the program expects its tensors and tokens."""
        return Layout(
            dims=self.dims, options=self.options, tensors=self.tensors, tables=self.tables,
            sequences=self.sequences, positions=self.extent.positions, scale_offset=self.hbm.scale_offset,
            mix_parts=self.mix_parts, masked_rows=self.extent.masked_rows,
        )  # fmt: skip


def make_blueprint(
    model: ModelShape, forwards: Sequence[Forward], view: MachineView, options: LoweringOptions, *, pieces: bool
) -> Blueprint:
    """Decide it all; `pieces`: attention to long contexts takes keys piece by piece. Raises WorkloadError."""
    rounds = make_rounds(forwards, view)
    kinds = rounds.classes
    networks = find_networks(model.layers, kinds)
    dims = attrs.evolve(
        make_dims(model, view), weight_share=_weight_share(kinds, options), leading=leading(kinds),
        shared_rows=options.kv_format.block if options.kv_format.asymmetric else 1,
        stripe_elements=options.weight_format.elements_in(view.stripe_bytes),
    )  # fmt: skip
    if pieces:
        dims = with_pieces(dims, options, kinds)
    dims, vectors = fit_program(dims, rounds)
    extent = _extent(dims, rounds, vectors)
    slots = _slots(options, networks, dims, extent.sequences)
    if slots > view.kv_slots:
        found = f"{slots} KV scale slots for {extent.sequences} sequences"
        raise WorkloadError(f"machine {view.name}: {found}; expected at most {view.kv_slots}, or kv-scheme rtn")
    matrix = plan_matrix(dims, options, extent)
    parts = mix_parts(dims, matrix.depth, zip(kinds, vectors, strict=True))
    hbm, tensors = place_tensors(dims, options, extent, networks)
    tables = make_tables(
        dims, rounds, tensors, extent.sequences, _pitch(rounds), networks,
        static=options.kv_scheme == "static", seed=options.seed,
    )  # fmt: skip
    check_experts(dims, options, networks, forwards)
    routing, tables = choose_experts(dims, options, rounds, vectors, tensors, tables)
    return Blueprint(
        options=options, rounds=rounds, networks=networks, dims=dims, vectors=vectors, extent=extent, matrix=matrix,
        mix_parts=parts, hbm=hbm, tensors=tensors, tables=tables, routing=routing,
    )  # fmt: skip


def _weight_share(kinds: Sequence[ForwardClass], options: LoweringOptions) -> float:
    shares = {kind.weight_share(options.weight_format.bits) for kind in kinds}
    if len(shares) > 1:
        raise WorkloadError("forwards: layers with different shares of their weights; expected one share")
    return shares.pop()


def _extent(dims: Dims, rounds: Rounds, vectors: Sequence[VectorPlan]) -> Extent:
    kinds, hlen = rounds.classes, dims.view.hlen
    return Extent(
        sequences=rounds.sequences,
        positions=cache_rows(rounds.positions),
        head_rows=max(kind.head_rows for kind in kinds),
        key_tiles=max(kind.key_tiles for kind in kinds),
        masks=any(kind.masked or kind.causal for kind in kinds),
        whole=any(plan.tiles == 1 for plan in vectors),
        tiled=any(plan.tiles > 1 for plan in vectors),
        compares=any(kind.score == STABILITY for kind in kinds),
        policy=max(kind.policy_parameters for kind in kinds),
        mixed=max(max(kind.mix_rows, kind.soft_rows) for kind in kinds),
        masked_rows=max(kind.q_rows * (kind.own_tiles(hlen) > 0) for kind in kinds),
        masked_tiles=max(kind.own_tiles(hlen) for kind in kinds),
        mixes_all=any(kind.mix_rows and not kind.mix_terms for kind in kinds),
    )


def _slots(options: LoweringOptions, networks: Networks, dims: Dims, sequences: int) -> int:
    return 2 * networks.total * sequences * dims.kv.blocks if options.smoothed else 1


def _pitch(rounds: Rounds) -> int:
    """Tokens of a sequence's canvas."""
    starts = zip(rounds.forwards, rounds.kinds, strict=True)
    return max((first_row(forward) + kind.q_rows for forward, kind in starts if not kind.decodes), default=0)
