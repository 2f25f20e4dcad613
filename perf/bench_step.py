"""The flagship per dynamic instruction: one refine step of LLaDA-8B, transformer and sampling."""

from __future__ import annotations

import pyperf
from inputs import count_instructions, flagship, timed_runs

from archsim import load_machine


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2, warmups=0)
    params = load_machine("dart-2048")
    refine = flagship("1:2")
    count = count_instructions(refine, params)
    runner.bench_time_func("run: LLaDA-8B refine step, one instruction", timed_runs, refine, params, inner_loops=count)


if __name__ == "__main__":
    main()
