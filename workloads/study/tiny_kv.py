"""KV schemes on the tiny model: accuracy, bytes and cycles, of the same programs.

A cell of the table is a model, a scheme and a cache policy. Its prompts run in batches, each batch as one program; the
first one also runs on the timed machine, with its values.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from archsim.isa.semantics.methods import METHODS
from workloads.lowering.options import LoweringOptions
from workloads.study.jobs import in_order
from workloads.study.tiny import (
    BATCH,
    PLAIN,
    STEPS,
    Case,
    cases_of,
    exact_share,
    prompts_and_answers,
    reference_run,
    variants,
)
from workloads.tiny.checkpoint import Checkpoint
from workloads.tiny.program import Run, numerics_of, run_program, run_timed
from workloads.tiny.reference import CACHES
from workloads.tiny.tasks import ANSWER, PROMPT

_CHIP = "bf16"


@attrs.frozen(kw_only=True)
class KvTask:
    """One cell of the table: what to run."""

    variant: str
    scheme: str
    cache: str
    count: int
    seed: int
    timed: bool
    """Whether the first batch runs on the timed machine."""
    reference: bool
    """Whether the reference computes the same, to be compared."""


@attrs.frozen(kw_only=True)
class KvCell:
    """What came out of a cell."""

    cache: str
    exact: float
    cycles: int
    """Of the program of the first batch; 0 where it was not timed."""
    reference: float
    """Exact answers of the reference; 0 where it did not run."""
    cases: tuple[Case, ...]
    """Prompts whose tokens are not the reference's."""


@attrs.frozen(kw_only=True)
class KvRow:
    """One scheme on one variant: a cell for each cache policy, and cycles of a forward of the whole batch."""

    variant: str
    scheme: str
    kv_bytes: int
    """Of a sequence's cache: codes, shared scales, channel factors."""
    cells: tuple[KvCell, ...]
    cycles: tuple[float, ...]


def kv_study(count: int, seed: int, *, reference: bool = False, jobs: int = 1) -> Iterator[KvRow]:
    """Every scheme on both variants. Their programs are the same, so that only those of the first are timed."""
    checkpoints = variants()
    tasks = [
        KvTask(variant=variant, scheme=scheme, cache=cache, count=count, seed=seed, timed=not index,
               reference=reference)
        for index, variant in enumerate(checkpoints) for scheme in METHODS for cache in CACHES
    ]  # fmt: skip
    found = in_order(kv_cell, tasks, jobs)
    cycles: dict[str, tuple[float, ...]] = {}
    for variant, checkpoint in checkpoints.items():
        for scheme in METHODS:
            cells = tuple(next(found) for _ in CACHES)
            cycles.setdefault(scheme, tuple(cell.cycles / STEPS for cell in cells))
            yield KvRow(
                variant=variant, scheme=scheme, kv_bytes=kv_bytes(checkpoint, scheme), cells=cells,
                cycles=cycles[scheme],
            )  # fmt: skip


def kv_cell(task: KvTask) -> KvCell:
    """Run the programs of a cell, and the reference where asked."""
    checkpoint, options = variants()[task.variant], kv_options(task.scheme)
    prompts, answers = prompts_and_answers(task.count, task.seed)
    run = Run(cache=task.cache, batch=min(BATCH, task.count))
    done, parts, cycles = 0, [], 0
    if task.timed:
        canvas, cycles = run_timed(checkpoint, prompts[: run.batch], run, options, chip=_CHIP)
        done, parts = run.batch, [canvas]
    if done < task.count:
        parts.append(run_program(checkpoint, prompts[done:], run, options, chip=_CHIP))
    found, share = np.concatenate(parts), 0.0
    cases: tuple[Case, ...] = ()
    if task.reference:
        wanted, choices = reference_run(checkpoint, prompts, numerics_of(options, _CHIP), task.cache)
        share, cases = exact_share(wanted, answers), cases_of(found, wanted, choices, _CHIP)
    return KvCell(cache=task.cache, exact=exact_share(found, answers), cycles=cycles, reference=share, cases=cases)


def kv_options(scheme: str) -> LoweringOptions:
    """BF16 but for the KV cache."""
    return attrs.evolve(PLAIN, kv={"none": "bf16", "kivi": "int4_asymmetric"}.get(scheme, "mxint4"), kv_scheme=scheme)


def kv_bytes(checkpoint: Checkpoint, scheme: str) -> int:
    """Bytes of one sequence's cache; channel factors are BF16."""
    method, shape = METHODS[scheme], checkpoint.shape
    channels = 2 * shape.layers * shape.kv_width
    factors = 2 * channels if method.k.calibrated != "never" else 0
    return round(channels * (PROMPT + ANSWER) * method.bits_per_element / 8) + factors
