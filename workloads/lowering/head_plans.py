"""Ring plans of the LM head and of what comes behind it in some forwards."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.emit.context import Tensors
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, ceil_div
from workloads.lowering.plan.hbm import Tensor
from workloads.lowering.plan.matrix import layer_sorts
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.stages import HEAD, MIX, POLICY, Stage, head_stage, layer_stage, mix_stage, policy_stage
from workloads.lowering.plan.vectors import VectorPlan


@attrs.frozen
class HeadPlans:
    """Ring plans of the LM head and of what comes behind it in some forwards, each followed by the next."""

    head: Plan
    policy: Plan | None
    mix: Plan | None


def head_plans(dims: Dims, depth: int, kind: ForwardClass, tensors: Tensors, parts: int) -> HeadPlans:
    """The plans of a class; `parts` of the vocabulary where mixtures of all embeddings are made."""
    behind: list[tuple[Stage, Tensor]] = []
    if kind.policy_rows and tensors.policy is not None:
        behind.append((policy_stage(dims, kind.policy_parameters), tensors.policy))
    if kind.mix_rows and not kind.mix_terms and tensors.transposed is not None:
        behind.append((mix_stage(dims, parts), tensors.transposed))
    plans: dict[str, Plan] = {}
    stage, layer = head_stage(dims), layer_stage(dims, mixture=layer_sorts(dims)[0])
    partial = layer.gemms[0].elements if dims.weight_share < 1 else 0
    for following, tensor in behind:
        plans[stage.name] = Plan(stage, depth, lead=following, base=tensor.base, partial=partial)
        stage, partial = following, 0
    plans[stage.name] = Plan(stage, depth, lead=layer, partial=partial)
    return HeadPlans(plans[HEAD], plans.get(POLICY), plans.get(MIX))


def mix_parts(dims: Dims, depth: int, kinds: Iterable[tuple[ForwardClass, VectorPlan]]) -> int:
    """Parts of the vocabulary, of each of which the ring holds an n-tile and Vector SRAM the rows' logits.

    0 where nothing mixes all embeddings; raises WorkloadError where not even one chunk's logits fit.
    """
    most = depth
    mixing = [(kind, vectors) for kind, vectors in kinds if kind.mix_rows and not kind.mix_terms]
    for kind, vectors in mixing:
        others = 2 * ceil_div(kind.mix_rows, dims.view.vlen) + 2
        most = min(most, (vectors.sampling_vectors - others) // kind.mix_rows)
        if most < 1:
            found = f"mixtures of {kind.mix_rows} rows: {vectors.sampling_vectors} vectors are free"
            raise WorkloadError(f"machine {dims.view.name}: {found}; expected room for a chunk of their logits")
    return ceil_div(ceil_div(dims.model.vocab, dims.view.vlen), most) if mixing else 0
