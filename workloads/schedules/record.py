"""Shorthand for making forwards."""

from __future__ import annotations

from typing import Any

import attrs

from workloads.forwards import Forward


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
