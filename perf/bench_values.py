"""Generations with values: the tiny model's, and a small one beside its time alone, per dynamic instruction."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pyperf

from archsim import MachineParams, Program, execute, load_machine, load_tensors, new_state, simulate
from archsim.isa.semantics.system import System
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.checkpoint import load_checkpoint
from workloads.tiny.program import FLOAT_OPTIONS, Run, memory_image, tiny_program
from workloads.tiny.reference import CACHES
from workloads.tiny.tasks import held_out_set

FORMATS = {"FP32": (FLOAT_OPTIONS, "fp32"), "MX": (LoweringOptions(), "bf16")}
"""Options, and format of values on chip."""


def generation(params: MachineParams) -> Program:
    """Four layers of 128 channels: 64 tokens in blocks of 32 with a dual cache, two a step."""
    model = load_model("llada-8b").shrunk(layers=4, vocab=96, hidden=128, heads=4, kv_heads=4, head_dim=32, ffn=256)
    schedule = build_schedule("llada", cache="dual", prompt=32, gen=64, block=32, steps=32)
    return lower(model, schedule, view_of(params))


def state_of(program: Program, params: MachineParams) -> System:
    """A state with small numbers for all weights and tables."""
    state = new_state(program, params)
    rng = np.random.default_rng(0)
    written = ("kv_cache", "logits", "program")
    for region in program.header.regions:
        name, size = region["name"], region["bytes"]
        if not name.startswith(written):
            data = rng.integers(0, 64, size, dtype=np.uint8)
            load_tensors(state, {name: np.full(size, 122, np.uint8) if name.endswith(".scales") else data})
    return state


def timed(loops: int, run: Callable[[System], object], state: Callable[[], System]) -> float:
    """Seconds of `loops` runs, each on a state of its own, whose making does not count."""
    total = 0.0
    for _ in range(loops):
        own = state()
        start = perf_counter()
        run(own)
        total += perf_counter() - start
    return total


def tiny_state(params: MachineParams, formats: str, cache: str) -> Callable[[], System]:
    """States of the tiny model that generates 64 tokens after 32, two a step, in blocks of 32."""
    options, chip = FORMATS[formats]
    checkpoint = load_checkpoint()
    run = Run(prompt=32, gen=64, block=32, steps=32, cache=cache, batch=1)
    program, layout = tiny_program(checkpoint, run, options, "tiny")
    prompt = np.array([held_out_set(1, 0)[0].prompt_ids * 2])
    image = memory_image(layout, checkpoint, prompt)

    def make() -> System:
        state = new_state(program, params, chip)
        load_tensors(state, image)
        return state

    return make


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2, warmups=0)
    params = load_machine("tiny")
    program = generation(params)
    count = execute(state_of(program, params))
    runs: dict[str, Callable[[System], object]] = {
        "interpreter": execute,
        "timed": lambda state: simulate(program, params, values=state),
        "time alone": lambda _state: simulate(program, params, replay=False),
    }
    for name, run in runs.items():
        small = f"values: {name}, one instruction"
        runner.bench_time_func(small, timed, run, lambda: state_of(program, params), inner_loops=count)
    for formats in FORMATS:
        for cache in CACHES:
            state = tiny_state(params, formats, cache)
            runner.bench_time_func(f"values: tiny model, 64 tokens, {formats}, cache {cache}", timed, execute, state)


if __name__ == "__main__":
    main()
