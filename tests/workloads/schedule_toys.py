"""Every schedule in a small configuration: 16 prompt rows, 32 generated ones, blocks of 16."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Schedule
from workloads.schedules import SCHEDULES, build_schedule

COMMON: dict[str, Any] = {"prompt": 16, "gen": 32, "block": 16, "steps": 4}
OWN: dict[str, dict[str, Any]] = {
    "autoregressive": {"gen": 16},
    "bd3lm": {"gen": 16},
    "bastion": {"nodes": 12, "draft_layers": 1},
    "context-init": {"gen": 16, "filled": 6, "init_layers": 1},
    "daedal": {"initial_gen": 16, "max_gen": 32, "expansion_factor": 4, "eos_check": 8, "counts": "0 8 4+ 7"},
    "dinfer": {"prefix_look": 4, "after_look": 4},
    "dream": {"steps": 8},
    "edlm": {"gen": 16},
    "fast-dllm-dream": {"steps": 8},
    "guided-diffusion": {"guider_layers": 1},
    "hex": {"block_sizes": "8 16"},
    "iteration-smoothing": {"prefix_look": 4, "after_look": 4},
    "joint-sampling": {"gen": 16},
    "llada2": {"block_steps": 16},
    "learned-policy": {"policy_parameters": 10_000},
    "model-scheduling": {"light_layers": 1, "light_first": 0.25, "light_last": 0.25},
    "ni-sampling": {"policy_parameters": 150_000},
    "orthrus": {"block": 16, "nodes": 15},
    "psd": {"depth": 2},
    "rho-eos": {"initial_gen": 16, "counts": "4+8 4-8 8"},
    "smdm": {"steps": 8},
    "sparsed": {"attention_block": 8},
    "taps": {"nodes": 12, "draft_layers": 1},
    "window-diffusion": {"window_tokens": 16, "active_tokens": 8, "refresh_cycle": 2},
}


def toy(name: str) -> Schedule:
    """The schedule in that configuration, with 4 tokens a forward where counts depend on data."""
    fields = {field.name for field in attrs.fields(SCHEDULES[name])}
    options = {key: value for key, value in {**COMMON, **OWN.get(name, {})}.items() if key in fields}
    if "mean" not in fields or "counts" in options:
        return build_schedule(name, **options)
    try:
        return build_schedule(name, **options, mean=4.0)
    except WorkloadError:  # counts are fixed by the options
        return build_schedule(name, **options)
