"""How the cost of a simulation grows with the work: `python perf/growth.py [-o FOLDER]`.

One figure of the base case at a time is doubled; wall time and simulated (not replayed) instructions
are of whole runs with replay. Prints a table; with -o also writes growth.md and growth.svg.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs

from archsim import MachineParams, load_machine
from archsim.elaborate import ReplaySettings, build
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

REPEATS = 1
"""Runs of each case, of which the fastest counts."""

AXES: dict[str, tuple[list[Any], str]] = {
    "steps": ([16, 32, 64], "flat: steps of a block repeat, and are skipped"),
    "layers": ([8, 16, 32, 64], "flat: layers repeat, and are skipped"),
    "vocab": ([63232, 126464, 252928], "linear: the LM head and sampling are simulated in every step that is"),
    "prompt": ([128, 256, 512], "linear in the rows of a warm step, in tiles of BLEN rows"),
    "batch": ([1, 2, 4, 8], "linear: attention and KV stores are by sequence"),
    "blocks": ([2, 4, 8, 16, 32], "flat after a few: blocks end in equal states, and nearly alike ones are skipped"),
    "channels": ([16, 32, 64], "flat: channels in the same state are timed together"),
    "cores": ([1, 4], "more than linear: cores share channels and links, and take a few layers to fall into step"),
}
"""Values of each figure, the base case's among them, and the law with its reason."""


@attrs.frozen(kw_only=True)
class Case:
    """A run: LLaDA-8B on dart-2048, two blocks of 32 tokens."""

    steps: int = 64
    layers: int = 32
    vocab: int = 126464
    prompt: int = 128
    batch: int = 1
    blocks: int = 2
    channels: int = 32
    cores: int = 1


@attrs.frozen
class Cost:
    """What a run took."""

    seconds: float
    simulated: int
    instructions: int


def machine_of(case: Case) -> MachineParams:
    if case.cores > 1:
        return load_machine("quad-mesh")
    params = load_machine("dart-2048")
    return attrs.evolve(params, memory=attrs.evolve(params.memory, channels=case.channels))


def measure(case: Case) -> Cost:
    params = machine_of(case)
    model = load_model("llada-8b").shrunk(layers=case.layers, vocab=case.vocab)
    options = {"cache": "dual", "prompt": case.prompt, "gen": 32 * case.blocks, "block": 32, "batch": case.batch}
    schedule = build_schedule("llada", **options, steps=case.steps * case.blocks // 2)
    program = lower(model, schedule, view_of(params))
    seconds = math.inf
    for _ in range(REPEATS):
        machine = build(program, params, replay=ReplaySettings())
        start = perf_counter()
        machine.sim.run()
        seconds = min(seconds, perf_counter() - start)
    front, replayer = machine.cores[0].front, machine.replayer
    skipped = replayer.replayed_instructions if replayer else 0
    return Cost(seconds, front.instructions - skipped, front.instructions)


def rows(axes: list[str]) -> Iterator[tuple[str, Any, Cost]]:
    base = measure(Case())
    for axis in axes:
        for value in AXES[axis][0]:
            yield axis, value, base if value == getattr(Case(), axis) else measure(Case(**{axis: value}))


def table(found: list[tuple[str, Any, Cost]]) -> str:
    lines = [
        "| grows | value | wall s | simulated instructions | all instructions (core 0) | law |",
        "|---|---|---|---|---|---|",
    ]
    last = ""
    for axis, value, cost in found:
        law = AXES[axis][1] if axis != last else ""
        lines.append(
            f"| {axis} | {value:,} | {cost.seconds:.2f} | {cost.simulated:,} | {cost.instructions:,} | {law} |"
        )
        last = axis
    return "\n".join(lines) + "\n"


def plot(found: list[tuple[str, Any, Cost]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    for axis in AXES:
        mine = [(value, cost) for name, value, cost in found if name == axis]
        if mine:
            first = mine[0]
            xs, ys = [v / first[0] for v, _ in mine], [c.simulated / first[1].simulated for _, c in mine]
            axes.plot(xs, ys, marker="o", label=axis)
    axes.plot([1, 8], [1, 8], "--", color="grey", label="linear")
    axes.set(xscale="log", yscale="log", xlabel="times the smallest value")
    axes.set_ylabel("times its simulated instructions (core 0)")
    for each, marks in ((axes.xaxis, (1, 2, 4, 8, 16)), (axes.yaxis, (1, 2, 4, 8))):
        each.set_ticks(marks, [str(mark) for mark in marks])
        each.set_ticks([], minor=True)
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="How the cost of a simulation grows with the work.")
    parser.add_argument("-o", "--output", type=Path, help="folder for growth.md and growth.svg (needs matplotlib)")
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    options = parser.parse_args()
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    found = []
    for row in rows(options.axes):
        found.append(row)
        print(f"{row[0]:>9} {row[1]:>8,}  {row[2].seconds:7.2f} s  {row[2].simulated:>10,} instructions", flush=True)
    if options.output:
        (options.output / "growth.md").write_text(table(found), encoding="utf-8")
        plot(found, options.output / "growth.svg")


if __name__ == "__main__":
    main()
