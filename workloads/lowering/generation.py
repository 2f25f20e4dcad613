"""The whole program: set-up, and rounds of forwards."""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError
from archsim.isa.opcodes import PAGE_BITS
from archsim.isa.program import Program
from workloads.forwards import Schedule, Window, require_lowerable
from workloads.lowering.blueprint import Blueprint, make_blueprint
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
from workloads.lowering.expert_plan import make_mixture
from workloads.lowering.forward import emit_forward
from workloads.lowering.head.lm_head import sampling_plan
from workloads.lowering.head_plans import head_plans
from workloads.lowering.header import make_header
from workloads.lowering.layers.tiled import make_tiling
from workloads.lowering.layout import Layout
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import KeysTooLong
from workloads.lowering.plan.machine_view import MachineView
from workloads.lowering.plan.matrix import layer_sorts
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.stages import HEAD, MIX, POLICY, layer_stage
from workloads.lowering.plan.vectors import MASKS
from workloads.lowering.sampling.draw import emit_variant_constants
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import emit_masks
from workloads.lowering.tables import route
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
    options = options or LoweringOptions()
    try:
        blueprint = make_blueprint(model, forwards, view, options, pieces=False)
        b = _emitted(blueprint)
    except KeysTooLong as error:
        try:
            blueprint = make_blueprint(model, forwards, view, options, pieces=True)
            b = _emitted(blueprint)
        except WorkloadError:
            raise error from None
    header = make_header(blueprint, schedule, b.phases)
    return Program(instructions=tuple(b.instructions), header=header), blueprint.layout()


def _emitted(blueprint: Blueprint) -> Builder:
    generation = _Generation(blueprint)
    generation.emit()
    return generation.b


class _Generation:
    """A program under construction."""

    def __init__(self, blueprint: Blueprint) -> None:
        self.blueprint, self.b = blueprint, Builder()
        self.rounds, self.tables, self.tensors = blueprint.rounds, blueprint.tables, blueprint.tensors
        dims, options, matrix = blueprint.dims, blueprint.options, blueprint.matrix
        self.layer_plan = Plan(layer_stage(dims, mixture=layer_sorts(dims)[0]), matrix.depth)
        self.stream = Stream(self.b, dims, options.weight_format, matrix.depth, self._switch, A_WEIGHTS)
        self.mixture = make_mixture(self.b, dims, options, matrix, self.tables.pages)

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
                known = plan is not None and self.blueprint.networks.several
                b.load(page, Cell.NEXT_PAGE if known else self._table(self.rounds.kinds[0]))
            b.emit("C_SET_ADDR_PAGE", A_WEIGHTS, page)

    def _table(self, kind: ForwardClass) -> int:
        return self.tables.layers[route(kind, self.blueprint.networks)]

    def emit(self) -> None:
        """Emit everything."""
        b, tensors = self.b, self.tensors
        b.phase("setup", "setup")
        b.scale_offset(self.blueprint.hbm.scale_offset)
        if tensors.logits is not None:
            b.address(A_LOGITS, tensors.logits.base)
        if tensors.spill:
            with b.reg() as high, b.reg() as low:
                b.load(high, Cell.SPILL_BASE)
                b.load(low, Cell.SPILL_BASE + 1)
                b.emit("C_SET_ADDR_REG", A_SPILL, high, low)
        if tensors.kept is not None:
            b.address(A_KEPT, tensors.kept.base)
        emit_constants(b, self.blueprint.dims.model, self.blueprint.dims.view.cores)
        emit_variant_constants(b, self.blueprint.options.sampling, F_SAMPLING)
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

    def _sampling(self, context: Context) -> SamplingPlan:
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
        blueprint, tables = self.blueprint, self.tables
        dims, matrix, networks = blueprint.dims, blueprint.matrix, blueprint.networks
        kind, vectors, tiling = self.rounds.classes[index], blueprint.vectors[index], None
        if vectors.tiles > 1:
            tiling = make_tiling(dims, matrix.depth, kind, vectors, MASKS + blueprint.sequences)
            kind = attrs.evolve(kind, q_rows=vectors.rows)
        plans = head_plans(dims, matrix.depth, kind, self.tensors, blueprint.mix_parts)
        listed = Listed(positions=tables.positions, tokens=tables.listed, pitch=tables.token_pitch)
        return Context(
            b=self.b, dims=dims, options=blueprint.options, tensors=self.tensors, stream=self.stream,
            layer_plan=self.layer_plan, head_plan=plans.head, policy_plan=plans.policy, mix_plan=plans.mix, kind=kind,
            vectors=vectors, cached=blueprint.sequences, positions=blueprint.extent.positions,
            kv_base=matrix.kv_base, kv_buffers=matrix.kv_buffers,
            table=self._table(kind), layers=networks.layers(kind), listed=listed if kind.scattered else None,
            tiling=tiling, positions_list=tables.positions, chosen_list=tables.listed,
            block_list=tables.blocks, blocks=tables.block_count,
            further=tables.further, parents=tables.parents, first_layer=networks.first(kind.network),
            switches=networks.several, mixture=self.mixture,
        )  # fmt: skip
