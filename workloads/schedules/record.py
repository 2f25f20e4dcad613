"""Shorthand for making forwards, and checks that several schedules share."""

from __future__ import annotations

from typing import Any

import attrs

from workloads.forwards import Forward, Schedule
from workloads.schedules.options import refusal


@attrs.frozen
class Rows:
    """Contiguous rows of the canvas."""

    start: int
    count: int


@attrs.frozen
class Place:
    """Where a schedule stands: number of the forward, block (first row and index), step in the block."""

    index: int
    block_start: int
    block_index: int
    step: int


def make_forward(
    place: Place,
    kind: str,
    query: Rows,
    kv_rows: int,
    *,
    head: Rows | None = None,
    sampled: int | None = None,
    committed: int = 0,
    sequences: int = 1,
    **extra: Any,
) -> Forward:
    """A forward that writes the K/V of its query rows.

    `head` defaults to the query rows and `sampled` to all head rows; `extra` are fields with defaults.
    """
    head = query if head is None else head
    return Forward(
        index=place.index,
        kind=kind,
        q_rows=query.count,
        kv_rows=kv_rows,
        head_rows=head.count,
        sampled_rows=head.count if sampled is None else sampled,
        committed=committed,
        sequences=sequences,
        q_start=query.start,
        write_start=query.start,
        write_rows=query.count,
        head_start=head.start,
        block_start=place.block_start,
        block_index=place.block_index,
        step_in_block=place.step,
        **extra,
    )


def check_blocks(schedule: Schedule, gen: int, block: int, steps: int | None = None) -> None:
    """Raise WorkloadError unless `block` divides `gen` and, where given, the blocks divide `steps`."""
    if gen % block:
        raise refusal(schedule, f"gen {gen} with block {block}", "gen to be a multiple of block")
    if steps is not None and steps % (gen // block):
        raise refusal(schedule, f"steps {steps} over {gen // block} blocks", "a multiple of the number of blocks")
