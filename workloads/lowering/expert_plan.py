"""What a program of a mixture of experts has beyond others: the experts' stream, and who takes which rows."""

from __future__ import annotations

from collections.abc import Sequence

from archsim.errors import WorkloadError
from workloads.forwards import Forward
from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.context import Mixture, Tensors
from workloads.lowering.emit.places import A_EXPERTS, Cell
from workloads.lowering.emit.weights import Stream
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.matrix import MatrixPlan
from workloads.lowering.plan.networks import Networks, refuse_networks
from workloads.lowering.plan.recording import read_recording
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.rounds import Rounds
from workloads.lowering.plan.routing import RoutingPlan, plan_routing
from workloads.lowering.plan.stages import expert_stage, layer_stage
from workloads.lowering.plan.vectors import VectorPlan
from workloads.lowering.tables import Tables, with_routing


def choose_experts(
    dims: Dims,
    options: LoweringOptions,
    rounds: Rounds,
    vectors: Sequence[VectorPlan],
    tensors: Tensors,
    tables: Tables,
) -> tuple[RoutingPlan | None, Tables]:
    """Choices of experts, if the model has any, and INT_MEM with the lists of them; raises WorkloadError."""
    experts = dims.model.experts
    if experts is None:
        return None, tables
    plan = plan_routing(
        dims, rounds, vectors, dims.view.int_words - tables.end - dims.model.layers, seed=options.routing_seed,
        recording=read_recording(options.routing, experts) if options.routing is not None else None,
    )  # fmt: skip
    return plan, with_routing(tables, plan, tensors, dims.view.vlen)


def check_experts(dims: Dims, options: LoweringOptions, networks: Networks, forwards: Sequence[Forward]) -> None:
    """Raise WorkloadError for forwards that no code for experts is made for, and for a recording nobody reads."""
    if dims.model.experts is not None:
        refuse_networks(dims.model, networks, forwards)
    elif options.routing is not None:
        raise WorkloadError(f"option routing: model {dims.model.name} has no experts; expected a mixture of experts")


def make_mixture(b: Builder, dims: Dims, options: LoweringOptions, matrix: MatrixPlan, pages: int) -> Mixture | None:
    """Plans and stream of the layers of experts, whose pages are at INT_MEM word `pages`."""
    if dims.mixture is None:
        return None

    def origin(register: int, following: bool) -> None:
        with b.reg() as start:
            b.load(start, Cell.NEXT_EXPERT if following else Cell.EXPERT)
            b.emit("S_ADD_INT", register, register, start)

    def stay(plan: Plan | None) -> None:
        raise AssertionError(f"an expert's stream has one base, not {plan}")

    stage, depth = expert_stage(dims), matrix.expert_depth
    base = matrix.depth * dims.view.tile_elements * options.weight_format.cells
    return Mixture(
        layer_plan=Plan(layer_stage(dims, mixture=True), matrix.depth),
        stream=Stream(b, dims, options.weight_format, depth, stay, A_EXPERTS, base=base, origin=origin),
        expert_plan=Plan(stage, depth, stage), last_plan=Plan(stage, depth, ends=True),
        pages=pages, elements=stage.elements,
    )  # fmt: skip
