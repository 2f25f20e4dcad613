"""The tiny model as a program: lower it, fill the memories, run it, read the tokens."""

from __future__ import annotations

import attrs
import numpy as np

import archsim
from archsim.isa.program import Program
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import Image, image
from workloads.lowering.layout import Layout
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.schedules import build_schedule
from workloads.tiny.checkpoint import Checkpoint, fold
from workloads.tiny.reference import Ids, Numerics, stored_as
from workloads.tiny.tasks import MASK

FLOAT_OPTIONS = LoweringOptions(
    weights="fp32", kv="fp32", acts="fp32", tables="fp32", logits_format="fp32", kv_scheme="none"
)
"""Everything in FP32."""


@attrs.frozen(kw_only=True)
class Run:
    """Lengths and policy of a generation, and how many prompts a program takes."""

    prompt: int = 16
    gen: int = 16
    block: int = 8
    steps: int = 16
    cache: str = "none"
    batch: int = 8


def tiny_program(checkpoint: Checkpoint, run: Run, options: LoweringOptions, machine: str) -> tuple[Program, Layout]:
    """The program of a generation; raises WorkloadError."""
    schedule = build_schedule(
        "llada", prompt=run.prompt, gen=run.gen, block=run.block, steps=run.steps, cache=run.cache, batch=run.batch
    )
    return lower_with_layout(checkpoint.shape, schedule, view_of(archsim.load_machine(machine)), options)


def memory_image(layout: Layout, checkpoint: Checkpoint, prompts: Ids) -> Image:
    """The memories at the start: prompts (sequences, tokens) followed by masks."""
    left = layout.tables.token_pitch - prompts.shape[1]
    canvases = np.concatenate([prompts, np.full((len(prompts), left), MASK)], axis=1)
    return image(layout, fold(checkpoint).weights, canvases)


def run_program(
    checkpoint: Checkpoint, prompts: Ids, run: Run, options: LoweringOptions, *, chip: str, machine: str = "tiny"
) -> Ids:
    """Canvases (sequences, tokens) after the generation; a last batch that is short is filled up with its last prompt.

    `chip` is the format of values in Vector SRAM and registers.
    """
    program, layout = tiny_program(checkpoint, run, options, machine)
    params, out = archsim.load_machine(machine), []
    for start in range(0, len(prompts), run.batch):
        part = prompts[start : start + run.batch]
        full = np.concatenate([part, np.repeat(part[-1:], run.batch - len(part), axis=0)])
        state = archsim.new_state(program, params, chip)
        archsim.load_tensors(state, memory_image(layout, checkpoint, full))
        archsim.execute(state)
        out.append(tokens_of(state.cores[0].ints, layout)[: len(part)])
    return np.concatenate(out)


def run_timed(
    checkpoint: Checkpoint, prompts: Ids, run: Run, options: LoweringOptions, *, chip: str, machine: str = "tiny"
) -> tuple[Ids, int]:
    """Canvases of one batch after the generation on the timed machine, and the cycles that it took."""
    program, layout = tiny_program(checkpoint, run, options, machine)
    params = archsim.load_machine(machine)
    state = archsim.new_state(program, params, chip)
    archsim.load_tensors(state, memory_image(layout, checkpoint, prompts))
    cycles = archsim.simulate(program, params, values=state).cycles
    return tokens_of(state.cores[0].ints, layout), cycles


def tokens_of(words: Ids, layout: Layout) -> Ids:
    """Canvases in INT_MEM (sequences, tokens)."""
    tables = layout.tables
    return words[tables.tokens :][: layout.sequences * tables.token_pitch].reshape(layout.sequences, -1).copy()


def numerics_of(options: LoweringOptions, chip: str) -> Numerics:
    """The same formats for the reference."""
    return Numerics(
        weights=options.weights, acts=options.acts, chip=chip, tables=options.tables, logits=options.logits_format,
        method=stored_as(options.kv, options.kv_scheme),
    )  # fmt: skip
