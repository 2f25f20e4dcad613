"""What each way of sampling costs: LM head and sampling phase of one forward, simulated."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

import archsim
from archsim.errors import ArchsimError
from workloads.forwards import Window
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.lowering.sampling_variant import GREEDY, parse_sampling
from workloads.schedules import build_schedule
from workloads.shape import ModelShape

VARIANTS = (
    ("greedy token, confidence, top-k rows", "", "spill"),
    ("the same, logits kept on chip", "", "onchip"),
    ("the same, single pass", "", "online"),
    ("chunks of 8192 entries", "chunk=8192", "spill"),
    ("chunks of 32768 entries", "chunk=32768", "spill"),
    ("random rows", "random", "spill"),
    ("threshold", "threshold=0.9", "spill"),
    ("factor", "factor=1", "spill"),
    ("margin", "margin", "spill"),
    ("entropy", "entropy", "spill"),
    ("Gumbel noise", "temperature=1", "spill"),
    ("top-p", "top-p=0.9", "spill"),
    ("entropy, noise, top-p (Dream)", "entropy,temperature=0.2,top-p=0.95", "spill"),
)
"""Description, `--sampling`, `--logits`."""
BLOCK = 32


@attrs.frozen(kw_only=True)
class Cost:
    """Exposed time of the two phases, and bytes that they move between HBM and chip."""

    head_ps: int
    sampling_ps: int
    hbm_bytes: int


def cost(model: ModelShape, machine: str, words: str = "", logits: str = "spill") -> Cost:
    """One refine forward of a block of 32 rows; raises ArchsimError where it cannot be lowered."""
    params = archsim.load_machine(machine)
    schedule = build_schedule("llada", prompt=BLOCK, gen=BLOCK, block=BLOCK, cache="dual")
    options = LoweringOptions(logits=logits, sampling=parse_sampling(words) if words else GREEDY)
    result = archsim.simulate(lower(model, schedule, view_of(params), options, Window(1, 2)), params)
    phases = {phase.operator: phase for phase in result.phases}
    head, sampling = phases["lm_head"], phases["sampling"]
    return Cost(
        head_ps=head.time_ps,
        sampling_ps=sampling.time_ps,
        hbm_bytes=sum(phase.hbm_read_bytes + phase.hbm_write_bytes for phase in (head, sampling)),
    )


def cost_lines(model: ModelShape, machine: str) -> Iterator[str]:
    """The table, a row as soon as it is there; rows that a machine has no room for say so."""
    shape = model.shrunk(layers=1, name=model.name)
    yield f"{model.name} on {machine}, {BLOCK} rows, one layer: exposed microseconds of LM head and sampling"
    yield f"{'variant':<37} {'--sampling':<35} {'LM head':>8} {'sampling':>9} {'both':>8} {'HBM MB':>8}"
    for about, words, logits in VARIANTS:
        asked = words if logits == "spill" else f"--logits {logits}"
        try:
            row = cost(shape, machine, words, logits)
        except ArchsimError as error:
            yield f"{about:<37} {asked:<35} {error}"
            continue
        head, sampling = row.head_ps / 1e6, row.sampling_ps / 1e6
        figures = f"{head:>8.1f} {sampling:>9.1f} {head + sampling:>8.1f} {row.hbm_bytes / 1e6:>8.1f}"
        yield f"{about:<37} {asked:<35} {figures}"
