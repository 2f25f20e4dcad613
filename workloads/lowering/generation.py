"""The whole program: set-up, rounds of forwards, header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from archsim.errors import WorkloadError
from archsim.isa.opcodes import PAGE_BITS
from archsim.isa.program import Header, Program
from workloads.forwards import Forward, Schedule, Window, evidence_notes, require_lowerable
from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.constants import emit_constants
from workloads.lowering.emit.context import Context, Listed
from workloads.lowering.emit.places import (  # fmt: skip
    A_KEPT,
    A_LOGITS,
    A_SPILL,
    A_WEIGHTS,
    F_SAMPLING,
    LAYER_ROW,
    Cell,
)
from workloads.lowering.emit.weights import Stream
from workloads.lowering.expert_plan import check_experts, choose_experts, make_mixture
from workloads.lowering.forward import emit_forward
from workloads.lowering.head.lm_head import sampling_plan
from workloads.lowering.head_plans import head_plans, mix_parts
from workloads.lowering.header import record, requirements
from workloads.lowering.ideal.work import ideal_work
from workloads.lowering.layers.tiled import make_tiling
from workloads.lowering.layout import Layout
from workloads.lowering.memory import (
    Extent,
    MatrixPlan,
    cache_rows,
    layer_sorts,
    place_tensors,
    plan_matrix,
    with_pieces,
)
from workloads.lowering.notes import program_notes
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass, first_row
from workloads.lowering.plan.dims import KeysTooLong, make_dims
from workloads.lowering.plan.fit import fit_program
from workloads.lowering.plan.machine_view import MachineView
from workloads.lowering.plan.networks import find_networks
from workloads.lowering.plan.operators import leading
from workloads.lowering.plan.rounds import make_rounds
from workloads.lowering.plan.stages import HEAD, MIX, POLICY, Plan, layer_stage
from workloads.lowering.plan.vectors import MASKS, VectorPlan
from workloads.lowering.sampling.draw import emit_variant_constants
from workloads.lowering.sampling.stability import STABILITY
from workloads.lowering.sampling.transfer import emit_masks
from workloads.lowering.tables import make_tables, route
from workloads.shape import ModelShape


def lower(
    model: ModelShape,
    schedule: Schedule,
    view: MachineView,
    options: LoweringOptions | None = None,
    window: Window | None = None,
) -> Program:
    """One program with the forwards of the schedule (or of a window of it); raises WorkloadError."""
    return lower_with_layout(model, schedule, view, options, window)[0]


def lower_with_layout(
    model: ModelShape,
    schedule: Schedule,
    view: MachineView,
    options: LoweringOptions | None = None,
    window: Window | None = None,
) -> tuple[Program, Layout]:
    """The same, and where the program expects its tensors and tokens."""
    require_lowerable(schedule)
    forwards = list((window or Window()).select(schedule.forwards()))
    try:
        generation = _generated(model, forwards, view, options or LoweringOptions(), pieces=False)
    except KeysTooLong as error:
        try:
            generation = _generated(model, forwards, view, options or LoweringOptions(), pieces=True)
        except WorkloadError:
            raise error from None
    return generation.program(schedule), generation.layout()


def _generated(
    model: ModelShape, forwards: Sequence[Forward], view: MachineView, options: LoweringOptions, *, pieces: bool
) -> _Generation:
    generation = _Generation(model, forwards, view, options, pieces=pieces)
    generation.emit()
    return generation


class _Generation:
    """A program under construction."""

    def __init__(
        self, model: ModelShape, forwards: Sequence[Forward], view: MachineView, options: LoweringOptions,
        *, pieces: bool,
    ) -> None:  # fmt: skip
        """`pieces`: attention to long contexts takes keys piece by piece."""
        self.options = options
        self.forwards = forwards
        self.rounds = make_rounds(forwards, view)
        self.sequences = self.rounds.sequences
        kinds = self.rounds.classes
        self.networks = find_networks(model.layers, kinds)
        dims = attrs.evolve(make_dims(model, view), weight_share=self._weight_share(), leading=leading(kinds))
        if pieces:
            dims = with_pieces(dims, options, kinds)
        self.dims, self.vectors = fit_program(dims, self.rounds)
        self.extent = Extent(
            sequences=self.sequences,
            positions=cache_rows(self.rounds.positions),
            head_rows=max(kind.head_rows for kind in kinds),
            key_tiles=max(kind.key_tiles for kind in kinds),
            masks=any(kind.masked or kind.causal for kind in kinds),
            whole=any(plan.tiles == 1 for plan in self.vectors),
            tiled=any(plan.tiles > 1 for plan in self.vectors),
            compares=any(kind.score == STABILITY for kind in kinds),
            policy=max(kind.policy_parameters for kind in kinds),
            mixed=max(max(kind.mix_rows, kind.soft_rows) for kind in kinds),
            masked_rows=max(kind.q_rows * (kind.own_tiles(view.hlen) > 0) for kind in kinds),
            masked_tiles=max(kind.own_tiles(view.hlen) for kind in kinds),
            mixes_all=any(kind.mix_rows and not kind.mix_terms for kind in kinds),
        )
        if self._slots() > view.kv_slots:
            found = f"{self._slots()} KV scale slots for {self.sequences} sequences"
            raise WorkloadError(f"machine {view.name}: {found}; expected at most {view.kv_slots}, or kv-scheme rtn")
        self.matrix: MatrixPlan = plan_matrix(self.dims, options, self.extent)
        pairs = zip(kinds, self.vectors, strict=True)
        self.mix_parts = mix_parts(self.dims, self.matrix.depth, pairs)
        self.hbm, self.tensors = place_tensors(self.dims, options, self.extent, self.networks)
        starts = zip(forwards, self.rounds.kinds, strict=True)
        ends = (first_row(forward) + kind.q_rows for forward, kind in starts if not kind.decodes)
        pitch = max(ends, default=0)
        self.tables = make_tables(
            self.dims, self.rounds, self.tensors, self.sequences, pitch, self.networks,
            static=options.kv_scheme == "static", seed=options.seed,
        )  # fmt: skip
        check_experts(self.dims, options, self.networks, forwards)
        self.routing, self.tables = choose_experts(
            self.dims, options, self.rounds, self.vectors, self.tensors, self.tables
        )
        self.b = Builder()
        self.layer_plan = Plan(layer_stage(self.dims, mixture=layer_sorts(self.dims)[0]), self.matrix.depth)
        self.stream = Stream(self.b, self.dims, options.weight_format, self.matrix.depth, self._switch, A_WEIGHTS)
        self.mixture = make_mixture(self.b, self.dims, options, self.matrix, self.tables.pages)

    def _weight_share(self) -> float:
        shares = {kind.weight_share(self.options.weight_format.bits) for kind in self.rounds.classes}
        if len(shares) > 1:
            raise WorkloadError("forwards: layers with different shares of their weights; expected one share")
        return shares.pop()

    def _switch(self, plan: Plan | None) -> None:
        """Point the weight register at the stage behind this one; None: at the first of all."""
        b = self.b
        with b.reg() as page:
            if plan is not None and plan.base >= 0:
                b.set(page, plan.base >> PAGE_BITS)
            elif plan is not None and plan.stage.name not in (HEAD, POLICY, MIX):
                b.load(page, Cell.LAYER)
                b.emit("S_LD_INT", page, page, LAYER_ROW)
            else:
                known = plan is not None and len(self.networks.depths) > 1
                b.load(page, Cell.NEXT_PAGE if known else self._table(self.rounds.kinds[0]))
            b.emit("C_SET_ADDR_PAGE", A_WEIGHTS, page)

    def _table(self, kind: ForwardClass) -> int:
        return self.tables.layers[route(kind, self.networks)]

    def emit(self) -> None:
        """Emit everything."""
        b = self.b
        b.phase("setup", "setup")
        b.scale_offset(self.hbm.scale_offset)
        if self.tensors.logits is not None:
            b.address(A_LOGITS, self.tensors.logits.base)
        if self.tensors.spill:
            with b.reg() as high, b.reg() as low:
                b.load(high, Cell.SPILL_BASE)
                b.load(low, Cell.SPILL_BASE + 1)
                b.emit("C_SET_ADDR_REG", A_SPILL, high, low)
        if self.tensors.kept is not None:
            b.address(A_KEPT, self.tensors.kept.base)
        emit_constants(b, self.dims.model, self.dims.view.cores)
        emit_variant_constants(b, self.options.sampling, F_SAMPLING)
        self._switch(None)
        self.stream.prologue(self.layer_plan)
        with b.loop(len(self.rounds.trips)):
            self._round()

    def _round(self) -> None:
        b = self.b
        contexts = [self._context(index) for index in range(len(self.rounds.classes))]
        marked = [c for c in contexts if c.kind.head_rows and c.kind.kind not in ("prefill", "decode")]
        if marked:
            emit_masks(b, self._sampling(max(marked, key=lambda c: c.sequences)))
        for index, context in enumerate(contexts):
            self._forwards(index, context)
        if self.tables.round_words:
            self._advance(Cell.ROUND, self.tables.round_words)

    def _sampling(self, context: Context) -> Any:
        return sampling_plan(context, self.tables.token_pitch, self.tables.sampled, (0, 0))

    def _forwards(self, index: int, context: Context) -> None:
        b, word = self.b, self.tables.trips[index]
        if word is None:
            with b.loop(self.rounds.trips[0][index]):
                self._forward(index, context)
            return
        with b.loop_word(Cell.ROUND, word):
            self._forward(index, context)

    def _forward(self, index: int, context: Context) -> None:
        tables = self.tables
        emit_forward(context, tables.fields[index], tables.tokens, tables.token_pitch, tables.sampled)
        if tables.forward_words:
            self._advance(Cell.FORWARD, tables.forward_words)

    def _advance(self, cell: int, words: int) -> None:
        with self.b.reg() as value:
            self.b.load(value, cell)
            self.b.add(value, words)
            self.b.store(value, cell)

    def _context(self, index: int) -> Context:
        kind: ForwardClass = self.rounds.classes[index]
        vectors: VectorPlan = self.vectors[index]
        tiling = None
        if vectors.tiles > 1:
            tiling = make_tiling(self.dims, self.matrix.depth, kind, vectors, MASKS + self.sequences)
            kind = attrs.evolve(kind, q_rows=vectors.rows)
        plans = head_plans(self.dims, self.matrix.depth, kind, self.tensors, self.mix_parts)
        return Context(
            b=self.b, dims=self.dims, options=self.options, tensors=self.tensors, stream=self.stream,
            layer_plan=self.layer_plan, head_plan=plans.head, policy_plan=plans.policy, mix_plan=plans.mix, kind=kind,
            vectors=vectors, cached=self.sequences, positions=self.extent.positions,
            kv_base=self.matrix.kv_base, kv_buffers=self.matrix.kv_buffers,
            table=self._table(kind), layers=self.networks.layers(kind), listed=self._listed(kind), tiling=tiling,
            positions_list=self.tables.positions, chosen_list=self.tables.listed,
            block_list=self.tables.blocks, blocks=self.tables.block_count,
            further=self.tables.further, parents=self.tables.parents, first_layer=self.networks.first(kind.network),
            switches=len(self.networks.depths) > 1, mixture=self.mixture,
        )  # fmt: skip

    def _listed(self, kind: ForwardClass) -> Listed | None:
        tables = self.tables
        listed = Listed(positions=tables.positions, tokens=tables.listed, pitch=tables.token_pitch)
        return listed if kind.scattered else None

    def program(self, schedule: Schedule) -> Program:
        """The program with its header."""
        model, view, options = self.dims.model, self.dims.view, self.options
        passes = {
            kind: (kind.sequences // vectors.sequences, vectors.tiles)
            for kind, vectors in zip(self.rounds.classes, self.vectors, strict=True)
        }
        header = Header(
            name=f"{model.name} {schedule.name} on {view.name}",
            model={**attrs.asdict(model), "parameters": model.parameters},
            schedule={
                **schedule.describe(),
                "committed_source": schedule.commit_source or "static",
                "restream": self._restream(passes),
                **({"routing": self.routing.describe(model.experts)} if self.routing and model.experts else {}),
            },
            requires=requirements(
                self.dims, options, self.matrix, self.hbm, self.vectors, words=self.tables.end, slots=self._slots()
            ),
            seed=options.seed,
            formats={"weights": options.weights, "kv": options.kv, "activations": options.acts, "vector_hbm": "mxfp8"},
            block=max(forward.head_rows for forward in self.forwards),
            cores=view.cores,
            phases=tuple(self.b.phases),
            forwards=tuple(record(forward) for forward in self.forwards),
            int_mem=self.tables.images,
            gather_ids={"kind": "synthetic", "seed": options.seed, "vocab": model.vocab},
            regions=self.hbm.regions(),
            ideal=ideal_work(self.dims, options, self.rounds, passes, self._expert_totals()),
            notes=(
                *evidence_notes(schedule),
                *program_notes(options, self.forwards, passes, self.networks, self.matrix.depth),
                *(self.routing.notes(model.experts) if self.routing and model.experts else ()),
            ),
        )
        return Program(instructions=tuple(self.b.instructions), header=header)

    def layout(self) -> Layout:
        """Where the program expects its tensors and tokens."""
        return Layout(
            dims=self.dims, options=self.options, tensors=self.tensors, tables=self.tables,
            sequences=self.sequences, positions=self.extent.positions, scale_offset=self.hbm.scale_offset,
            mix_parts=self.mix_parts, masked_rows=self.extent.masked_rows,
        )  # fmt: skip

    def _expert_totals(self) -> dict[int, tuple[int, int, int]]:
        return self.routing.totals(self.dims.view.blen) if self.routing is not None else {}

    def _restream(self, passes: dict[ForwardClass, tuple[int, int]]) -> dict[str, int]:
        return {kind.kind: groups * tiles for kind, (groups, tiles) in passes.items()}

    def _slots(self) -> int:
        return 2 * self.networks.total * self.sequences * self.dims.kv.blocks if self.options.smoothed else 1
