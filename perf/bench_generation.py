"""Whole runs as a user asks for them: generations with replay, and a dense product without."""

from __future__ import annotations

from time import perf_counter

import pyperf

from archsim import MachineParams, Program, load_machine, simulate
from archsim.isa.timing.systolic import Gemm
from archsim.micro.gemm_program import gemm_program
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule


def timed(loops: int, program: Program, params: MachineParams, replay: str = "on") -> float:
    """Seconds of `loops` whole runs: elaboration, simulation, result."""
    start = perf_counter()
    for _ in range(loops):
        simulate(program, params, replay=replay == "on")
    return perf_counter() - start


def main() -> None:
    runner = pyperf.Runner(processes=1, values=2, warmups=0, loops=1)
    params = load_machine("dart-2048")
    for cache in ("dual", "none"):
        schedule = build_schedule("llada", cache=cache, prompt=128, gen=256, block=32, steps=256)
        program = lower(load_model("llada-8b"), schedule, view_of(params))
        runner.bench_time_func(f"LLaDA-8B, 256 forwards, cache {cache}", timed, program, params)
    core = load_machine("gemm-128")
    dense = gemm_program(Gemm(m=1024, n=4096, k=4096), core)
    for replay in ("off", "on"):
        name = f"GEMM 1024 x 4096 x 4096, replay {replay}"
        runner.bench_time_func(name, timed, dense, core, replay)


if __name__ == "__main__":
    main()
