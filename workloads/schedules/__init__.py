"""Denoising schedules by name. A new one is a file with a frozen attrs class, named in `SCHEDULES`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Schedule
from workloads.schedules.asynclane import AsynclaneSchedule
from workloads.schedules.autoregressive import AutoregressiveSchedule
from workloads.schedules.bd3lm import Bd3lmSchedule
from workloads.schedules.block_diffusion import EfficientDlmSchedule, NbdiffSchedule, SeedDiffusionSchedule
from workloads.schedules.consistency import ConsistencySchedule
from workloads.schedules.daedal import DaedalSchedule
from workloads.schedules.dare import DareSchedule
from workloads.schedules.dinfer import DinferSchedule
from workloads.schedules.dinfer_block import DinferBlockSchedule
from workloads.schedules.dinfer_smoothing import DinferSmoothingSchedule
from workloads.schedules.dkv_decode import DkvDecodeSchedule
from workloads.schedules.dkv_greedy import DkvGreedySchedule
from workloads.schedules.dkv_prefill import DkvPdSchedule, DkvPrefillSchedule
from workloads.schedules.dllm_cache import DllmCacheSchedule
from workloads.schedules.dmax import DmaxSchedule
from workloads.schedules.dparallel import DparallelSchedule
from workloads.schedules.drafted import BastionSchedule, OrthrusSchedule, TapsSchedule
from workloads.schedules.dream import DreamSchedule
from workloads.schedules.edlm import EdlmSchedule
from workloads.schedules.explore_exploit import ExploreExploitSchedule
from workloads.schedules.fast_dllm import FastDllmSchedule
from workloads.schedules.fast_dllm_dream import FastDllmDreamSchedule
from workloads.schedules.freecache import FreecacheSchedule
from workloads.schedules.freedave import FreedaveSchedule
from workloads.schedules.guided import GuidedSchedule
from workloads.schedules.hex import HexSchedule
from workloads.schedules.joint_sampling import JointSamplingSchedule
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.llada2 import Llada2Schedule, Llada21Schedule
from workloads.schedules.longllada import LongLladaSchedule
from workloads.schedules.maskllm import MaskllmSchedule
from workloads.schedules.model_scheduling import ModelSchedulingSchedule
from workloads.schedules.options import flag, option_fields
from workloads.schedules.policy import LearnedPolicySchedule, NiSamplingSchedule
from workloads.schedules.prefilled import ContextInitSchedule, ScaffoldSchedule
from workloads.schedules.prophet import ProphetSchedule
from workloads.schedules.psd import FefSchedule, PsdSchedule
from workloads.schedules.rho_eos import RhoEosSchedule
from workloads.schedules.smdm import SmdmSchedule
from workloads.schedules.sparsed import SparsedSchedule
from workloads.schedules.stability import StabilitySchedule
from workloads.schedules.window_diffusion import WindowDiffusionSchedule

SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule
    for schedule in (
        AutoregressiveSchedule,
        LladaSchedule,
        LongLladaSchedule,
        DreamSchedule,
        SmdmSchedule,
        Bd3lmSchedule,
        DinferBlockSchedule,
        Llada2Schedule,
        Llada21Schedule,
        SeedDiffusionSchedule,
        EfficientDlmSchedule,
        NbdiffSchedule,
        FastDllmSchedule,
        FastDllmDreamSchedule,
        DkvDecodeSchedule,
        DkvGreedySchedule,
        DkvPrefillSchedule,
        DkvPdSchedule,
        DllmCacheSchedule,
        DareSchedule,
        FreecacheSchedule,
        WindowDiffusionSchedule,
        SparsedSchedule,
        DinferSchedule,
        DinferSmoothingSchedule,
        MaskllmSchedule,
        DparallelSchedule,
        ProphetSchedule,
        NiSamplingSchedule,
        LearnedPolicySchedule,
        ExploreExploitSchedule,
        StabilitySchedule,
        ContextInitSchedule,
        ScaffoldSchedule,
        DaedalSchedule,
        RhoEosSchedule,
        ModelSchedulingSchedule,
        EdlmSchedule,
        JointSamplingSchedule,
        DmaxSchedule,
        GuidedSchedule,
        HexSchedule,
        ConsistencySchedule,
        FreedaveSchedule,
        PsdSchedule,
        FefSchedule,
        AsynclaneSchedule,
        BastionSchedule,
        TapsSchedule,
        OrthrusSchedule,
    )
}
"""Every schedule by its name, in the order in which lists show them."""


def build_schedule(name: str, **options: Any) -> Schedule:
    """The schedule of that name with those options: fields of its class, or what its `params` returned.

    Raises WorkloadError for an unknown name, an option it does not take or lacks, or an impossible combination.
    """
    if name not in SCHEDULES:
        near = difflib.get_close_matches(name, SCHEDULES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(SCHEDULES)}"
        raise WorkloadError(f"schedule {name}: unknown; {hint}")
    kind = SCHEDULES[name]
    fields = {field.name.rstrip("_"): field for field in option_fields(kind)}
    given = {key.rstrip("_"): value for key, value in options.items()}
    for key in given:
        if key not in fields:
            known = ", ".join(map(flag, fields))
            raise WorkloadError(f"schedule {name}: takes no option {flag(key)!r}; expected one of {known}")
    for key, field in fields.items():
        if key not in given and field.default is attrs.NOTHING:
            raise WorkloadError(f"schedule {name}: option {flag(key)!r} is missing; expected {field.metadata['help']}")
    make: Callable[..., Schedule] = kind
    return make(**{fields[key].name: value for key, value in given.items()})
