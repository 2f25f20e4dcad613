"""A window of forwards as nested loops over their classes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from workloads.forwards import Forward
from workloads.lowering.plan.classes import ForwardClass, classify_all, first_row
from workloads.lowering.plan.machine_view import MachineView


@attrs.frozen
class Rounds:
    """A window of forwards as nested loops: rounds, and in each round every class in order, `trips` times.

    `trips[round][class]`; `forwards` are in order of execution, and `kinds` their classes. A round never
    spans two blocks of a diffusion schedule.
    """

    classes: tuple[ForwardClass, ...]
    trips: tuple[tuple[int, ...], ...]
    forwards: tuple[Forward, ...]
    kinds: tuple[ForwardClass, ...]

    @property
    def positions(self) -> int:
        """Rows that the KV cache of a sequence needs."""
        ends = (first_row(f) + kind.q_rows for f, kind in zip(self.forwards, self.kinds, strict=True))
        return max(*ends, *(f.kv_rows for f in self.forwards))

    @property
    def sequences(self) -> int:
        """Sequences that there are at once at most."""
        return max(kind.sequences for kind in self.classes)

    def starts(self) -> list[int]:
        """Index of the first forward of every round."""
        out, index = [], 0
        for trips in self.trips:
            out.append(index)
            index += sum(trips)
        return out


def make_rounds(forwards: Sequence[Forward], view: MachineView) -> Rounds:
    """Group forwards into rounds."""
    kinds = classify_all(forwards, view)
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
    return Rounds(tuple(classes), tuple(tuple(trips) for trips in rounds), tuple(forwards), tuple(kinds))
