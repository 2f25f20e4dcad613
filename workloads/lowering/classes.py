"""Forwards that share code: classes of equal shape, and how loops visit them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Forward
from workloads.lowering.dims import ceil_div

ROW_FIELDS = ("q_start", "head_offset", "head_start", "committed", "tail")


@attrs.frozen
class ForwardClass:
    """What fixes the code of a forward. Everything else stands in tables that the code reads.

    `key_tiles` counts tiles of `hlen` keys, the last one with `masked` tails; `causal` keeps rows from
    seeing keys behind them.
    """

    kind: str
    q_rows: int
    key_tiles: int
    masked: bool
    causal: bool
    head_rows: int
    tail: int = 0
    """Keys of the last tile where that is no full one and rows see no keys behind them."""

    @property
    def decodes(self) -> bool:
        """Whether the query row is the token sampled last, rather than one of the canvas."""
        return self.kind == "decode"


def classify(forward: Forward, hlen: int) -> ForwardClass:
    """The class of a forward on a machine with `hlen` keys a tile."""
    if (forward.write_start, forward.write_rows) != (forward.q_start, forward.q_rows):
        raise WorkloadError(f"forward {forward.index}: writes K/V of other rows than it sends; expected the same rows")
    causal = forward.kind == "prefill"
    if causal and forward.q_start:
        raise WorkloadError(f"forward {forward.index}: prefill from row {forward.q_start}; expected from row 0")
    masked = forward.kind == "decode" or (forward.kv_rows % hlen > 0 and not causal)
    tiles = ceil_div(forward.kv_rows, hlen)
    tail = forward.kv_rows % hlen if causal else 0
    return ForwardClass(forward.kind, forward.q_rows, tiles, masked, causal, forward.head_rows, tail)


def row_fields(forward: Forward, hlen: int) -> dict[str, int]:
    """The integers of a forward that its code reads rather than contains."""
    return {
        "q_start": forward.q_start,
        "head_offset": forward.head_start - forward.q_start,
        "head_start": forward.head_start,
        "committed": forward.committed,
        "tail": (forward.kv_rows - 1) % hlen + 1,
    }


@attrs.frozen
class Rounds:
    """A window of forwards as nested loops: rounds, and in each round every class in order, `trips` times.

    `trips[round][class]`; `forwards` are in order of execution. A round never spans two blocks of a
    diffusion schedule.
    """

    classes: tuple[ForwardClass, ...]
    trips: tuple[tuple[int, ...], ...]
    forwards: tuple[Forward, ...]

    def starts(self) -> list[int]:
        """Index of the first forward of every round."""
        out, index = [], 0
        for trips in self.trips:
            out.append(index)
            index += sum(trips)
        return out


def make_rounds(forwards: Sequence[Forward], hlen: int) -> Rounds:
    """Group forwards into rounds."""
    kinds = [classify(forward, hlen) for forward in forwards]
    classes = list(dict.fromkeys(kinds))
    rounds: list[list[int]] = []
    last, block = -1, -1
    for forward, kind in zip(forwards, kinds, strict=True):
        index = classes.index(kind)
        new_block = forward.block_index != block and forward.kind not in ("prefill", "decode")
        if not rounds or index < last or new_block:
            rounds.append([0] * len(classes))
        rounds[-1][index] += 1
        last, block = index, forward.block_index
    return Rounds(tuple(classes), tuple(tuple(trips) for trips in rounds), tuple(forwards))
