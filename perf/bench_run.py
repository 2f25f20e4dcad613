"""A whole run, per dynamic instruction, and the two calls that every transfer makes."""

from __future__ import annotations

from time import perf_counter

import pyperf
from inputs import count_instructions, timed_runs, weight_stream

from archsim import MachineParams, load_machine
from archsim.kernel.transfer import Share
from archsim.noc import Network

TILE_CODES = 2048 * 128 // 2
TILE_SCALES = 2048 * 128 // 32
SCALE_BASE = 512 << 20
CALLS = 2_000
TILES = 2048


def access(loops: int, params: MachineParams, nbytes: int) -> float:
    """One tile after another, on all channels at once: codes, and scales where they fill whole stripes."""
    total = 0.0
    scales = [(SCALE_BASE, TILE_SCALES)] if nbytes == TILE_CODES else []
    for _ in range(loops):
        memory = params.memory.build()
        extents = [[(call * nbytes, nbytes), *scales] for call in range(CALLS)]
        start = perf_counter()
        for call in range(CALLS):
            memory.access(call * 1000, extents[call], write=False)
        total += perf_counter() - start
    return total


def deliver(loops: int, params: MachineParams) -> float:
    total = 0.0
    for _ in range(loops):
        memory = params.memory.build()
        network = Network(params.noc, params.cores, memory.channel_count, params.period_ps)
        channels = tuple(range(memory.channel_count))
        start = perf_counter()
        for call in range(CALLS):
            at_ps = call * 170_000
            network.deliver([Share(channels, 2176, at_ps, at_ps + 170_000)], 0)
        total += perf_counter() - start
    return total


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2, warmups=0)
    params = load_machine("dart-2048")
    runner.bench_time_func("run: memory.access, one weight tile", access, params, TILE_CODES, inner_loops=CALLS)
    runner.bench_time_func("run: memory.access, one uneven 5,000 B extent", access, params, 5000, inner_loops=CALLS)
    runner.bench_time_func("run: network.deliver, one share of 64 channels", deliver, params, inner_loops=CALLS)
    stream = weight_stream(TILES)
    count = count_instructions(stream, params)
    runner.bench_time_func("run: weight-stream GEMM, one instruction", timed_runs, stream, params, inner_loops=count)


if __name__ == "__main__":
    main()
