"""What `python -m workloads list` tells of every schedule, and of papers that have none."""

from __future__ import annotations

from typing import Any

import attrs

from workloads.forwards import Schedule
from workloads.schedules import SCHEDULES
from workloads.schedules.logged import Logged
from workloads.schedules.options import flag, option_fields

NO_INFERENCE_WORK = {
    "IGPO, coupled-GRPO, entropy-guided stepwise RL, TraFL, TABOM, Block-R1, T3S, RL of discrete diffusion policies": (
        "reinforcement learning or fine-tuning: weights change, a forward's work does not"
    ),
    "masked fine-tuning for knowledge, TokenDrift, unlearning of masked diffusion": "training only, likewise",
    "AIS": "a correction in training; of its rollouts only the FP8 format would matter",
    "TUBE, leave-one-out uniform diffusion, support-before-frequency, Generative Frontiers, decoder-basin analysis": (
        "theory, metrics and studies of how models decode"
    ),
    "SHADOWMASK, DIJA": "attacks: other inputs, the same forwards",
    "CDC": "constraints are applied on the host between forwards, which are LLaDA's",
    "DiffuCoder": "Dream's sampler and another model; its reinforcement learning is training",
    "attention-based sampler": "needs attention weights exported, of which nothing is published; otherwise LLaDA",
    "Fast-dDrive, Fast-dVLA, ViLaD, WAM-Diff, ReflectDrive-2, BARD, DIFFA, A3": (
        "schedules listed here behind an image or audio encoder"
    ),
    "DCDM, LangFlow, TextLDM, BitLM, CCDD, Zonkey, DSL": "other architectures without a published schedule",
}
"""Papers of the field without a schedule here, and why."""


def schedule_rows() -> list[dict[str, Any]]:
    """A record of every schedule: name, kind, evidence, source, options and more, ready for JSON."""
    return [_row(name, kind) for name, kind in SCHEDULES.items()]


def _row(name: str, kind: type[Schedule]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind.kind,
        "evidence": kind.evidence,
        "source": kind.source,
        "summary": (kind.__doc__ or "").strip().splitlines()[0],
        "counts_depend_on_data": issubclass(kind, Logged),
        "no_program_because": kind.unlowerable,
        "options": [_option(field) for field in option_fields(kind)],
    }


def _option(field: attrs.Attribute[Any]) -> dict[str, Any]:
    required = field.default is attrs.NOTHING
    made = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
    return {
        "name": flag(field.name),
        "required": required,
        "default": None if required else field.metadata["default"] if made else field.default,
        "choices": list(field.metadata["choices"]),
        "help": field.metadata["help"],
        "common": field.metadata["last"],
    }


def schedules_text() -> str:
    """The records for people: three lines a schedule."""
    lines = ["schedules"]
    for row in schedule_rows():
        facts = (
            row["kind"],
            row["evidence"],
            "counts from data" if row["counts_depend_on_data"] else "fixed counts",
            "no program" if row["no_program_because"] else "program",
            row["source"],
        )
        options = [_option_text(option) for option in row["options"] if not option["common"]]
        lines += [f"  {row['name']:<22}{', '.join(facts)}", f"      {row['summary']}", f"      {' '.join(options)}"]
    lines.append("no inference work of their own")
    for names, reason in NO_INFERENCE_WORK.items():
        lines += [f"  {names}", f"      {reason}"]
    return "\n".join(lines)


def _option_text(option: dict[str, Any]) -> str:
    if option["required"]:
        return str(option["name"])
    default = option["default"]
    return f"{option['name']}={default:g}" if isinstance(default, float) else f"{option['name']}={default}"
