"""INT_MEM: the program's variables, its tables, the tokens."""

from __future__ import annotations

import math

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.classes import ROW_FIELDS, Rounds, row_fields
from workloads.lowering.context import LAYER_ROW, PAGE_BITS, Cell, Tensors
from workloads.lowering.dims import Dims
from workloads.lowering.forward import Fields

FIRST_TABLE = 64
"""First word behind the variables."""
SLACK = 8
"""Words behind the sampled tokens that online sampling may touch."""


@attrs.frozen(kw_only=True)
class Tables:
    """Addresses in INT_MEM, the image of every core, and how each class reads its fields."""

    layers: int
    stores: int
    """The layers' table of forwards without LM head, where there are any."""
    positions: int
    """Rows that stand anywhere: their positions, as many as a canvas has."""
    listed: int
    """Tokens of such rows."""
    round_words: int
    """Length of a round's row; 0: the rounds need no table."""
    forward_words: int
    trips: tuple[int | None, ...]
    """Per class: word of the round's row with its trip count, or None where that is the same every round."""
    fields: tuple[Fields, ...]
    tokens: int
    token_pitch: int
    sampled: int
    end: int
    images: tuple[tuple[int, ...], ...]


def make_tables(
    dims: Dims, rounds: Rounds, tensors: Tensors, sequences: int, token_pitch: int, *, static: bool
) -> Tables:
    """Lay out INT_MEM; raises WorkloadError where it is too small. `static`: one forward sets the KV cache's scales."""
    fields, per_round, per_forward = _split_fields(rounds, dims.view.hlen, static=static)
    trips: list[int | None] = []
    for index in range(len(rounds.classes)):
        counts = [row[index] for row in rounds.trips]
        trips.append(None if len(set(counts)) == 1 else len(per_round))
        if trips[-1] is not None:
            per_round.append(counts)
    layers = FIRST_TABLE
    stores = layers + LAYER_ROW * (dims.model.layers + 1)
    has_stores = any(kind.head_rows == 0 for kind in rounds.classes)
    round_table = stores + has_stores * LAYER_ROW * (dims.model.layers + 1)
    forward_table = round_table + len(per_round) * len(rounds.trips)
    sampled = forward_table + len(per_forward) * len(rounds.forwards)
    head_rows = max(kind.head_rows for kind in rounds.classes)
    tokens = sampled + sequences * head_rows + SLACK
    positions = tokens + sequences * token_pitch
    scattered = any(kind.scattered for kind in rounds.classes)
    listed = positions + scattered * token_pitch
    end = listed + scattered * sequences * token_pitch
    if end > dims.view.int_words:
        found = f"tables and tokens of {sequences} sequences take {end} words of INT_MEM"
        raise WorkloadError(f"machine {dims.view.name}: {found}; expected at most {dims.view.int_words}")
    shared = [word for row in zip(*per_round, strict=True) for word in row]
    shared += [word for row in zip(*per_forward, strict=True) for word in row]
    images = []
    for core in range(dims.view.cores):
        words = [0] * FIRST_TABLE
        words[Cell.ROUND], words[Cell.FORWARD] = round_table, forward_table
        words[Cell.CORE] = core
        for index in range(dims.view.cores - 1):
            words[Cell.PEERS + index] = (core + 1 + index) % dims.view.cores
        if tensors.bias:
            words[Cell.BIAS_BASE : Cell.BIAS_BASE + 2] = divmod(tensors.bias[core].base, 1 << 32)
        if tensors.spill:
            words[Cell.SPILL_BASE : Cell.SPILL_BASE + 2] = divmod(tensors.spill[core].base, 1 << 32)
        words += _layer_rows(dims, tensors, core, head=True)
        words += _layer_rows(dims, tensors, core, head=False) if has_stores else []
        words += shared
        if scattered:
            words += [0] * (positions - len(words)) + _spread(token_pitch)
        images.append(tuple(words))
    return Tables(
        layers=layers, stores=stores, positions=positions, listed=listed, round_words=len(per_round),
        forward_words=len(per_forward), trips=tuple(trips), fields=fields, tokens=tokens,
        token_pitch=token_pitch, sampled=sampled, end=end, images=tuple(images),
    )  # fmt: skip


def _spread(rows: int) -> list[int]:
    """Every row once, neighbours far apart: the list from which scattered rows are taken."""
    stride = next(step for step in range(rows * 5 // 8 + 1, 2 * rows + 2) if math.gcd(step, rows) == 1)
    return [index * stride % rows for index in range(rows)]


def _layer_rows(dims: Dims, tensors: Tensors, core: int, *, head: bool) -> list[int]:
    """Every layer's row, and one with the base of what follows them: the LM head, or the first layer again."""
    words: list[int] = []
    for layer in range(dims.model.layers):
        words += [tensors.layers[core].at(layer) >> PAGE_BITS, tensors.kv[core].at(layer) >> PAGE_BITS]
    follower = tensors.head[core].base if head else tensors.layers[core].at(0)
    return [*words, follower >> PAGE_BITS, 0]


def _split_fields(
    rounds: Rounds, hlen: int, *, static: bool
) -> tuple[tuple[Fields, ...], list[list[int]], list[list[int]]]:
    """Fields of every class, columns of the round table, columns of the forward table."""
    rows = [row_fields(forward, hlen) for forward in rounds.forwards]
    names: tuple[str, ...] = ROW_FIELDS
    if static:
        names = (*names, "renews")
        rows = [{**row, "renews": int(index == 0)} for index, row in enumerate(rows)]
    kinds = [rounds.classes.index(kind) for kind in rounds.kinds]
    starts = [*rounds.starts(), len(rows)]
    per_round: list[list[int]] = []
    per_forward: dict[str, list[int]] = {}
    out: list[Fields] = []
    for index in range(len(rounds.classes)):
        fields = Fields({}, {}, {})
        for name in names:
            spans = [
                {rows[i][name] for i in range(first, last) if kinds[i] == index}
                for first, last in zip(starts, starts[1:], strict=False)
            ]
            values = set().union(*spans)
            if len(values) == 1:
                fields.constants[name] = values.pop()
            elif all(len(span) <= 1 for span in spans):
                fields.by_round[name] = len(per_round)
                per_round.append([max(span, default=0) for span in spans])
            else:
                column = per_forward.setdefault(name, [row[name] for row in rows])
                fields.by_forward[name] = list(per_forward).index(name)
                assert column
        out.append(fields)
    return tuple(out), per_round, list(per_forward.values())
