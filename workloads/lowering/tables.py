"""INT_MEM: the program's variables, its tables, the tokens."""

from __future__ import annotations

import math

import attrs

from archsim.errors import WorkloadError
from archsim.isa.opcodes import PAGE_BITS
from workloads.forwards import Forward
from workloads.lowering.attention.key_blocks import block_starts
from workloads.lowering.attention.row_masks import parent
from workloads.lowering.emit.context import Tensors
from workloads.lowering.emit.places import LAYER_ROW, Cell
from workloads.lowering.fields import Fields
from workloads.lowering.plan.classes import ForwardClass, mixed_rows, row_fields
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.networks import Networks
from workloads.lowering.plan.rounds import Rounds
from workloads.lowering.plan.routing import RoutingPlan

FIRST_TABLE = 72
"""First word behind the variables."""
SEEDS, DRAWS_OF_A_SEED = 256, 1 << 23
"""Programs whose random draws differ, and draws of each."""
SLACK = 8
"""Words behind the sampled tokens that online sampling may touch."""


@attrs.frozen(kw_only=True)
class Tables:
    """Addresses in INT_MEM, the image of every core, and how each class reads its fields."""

    layers: dict[Route, int]
    """Tables of layers: of what forwards go through, and whether to the LM head or (again) a first layer."""
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
    blocks: int
    """First rows of blocks of keys."""
    block_count: int
    parents: int
    """Parents of query rows that are a tree."""
    further: int
    """Tokens behind the most probable ones, where rows enter as mixtures of several."""
    end: int
    images: tuple[tuple[int, ...], ...]
    pages: int = 0
    """Pages of the routed experts of every layer that has any."""


@attrs.frozen
class Route:
    """Layers of a network (empty: the model) one after another, and whether the LM head follows them."""

    network: str
    layers: int
    head: bool


def route(kind: ForwardClass, networks: Networks) -> Route:
    """What forwards of the class go through."""
    return Route(kind.network, networks.layers(kind), kind.head_rows > 0)


def make_tables(
    dims: Dims, rounds: Rounds, tensors: Tensors, sequences: int, token_pitch: int, networks: Networks, *,
    static: bool, seed: int,
) -> Tables:
    """Lay out INT_MEM; raises WorkloadError where it is too small.

    `static`: one forward sets the KV cache's scales. `seed` tells random draws from those of other programs.
    """
    layers, round_table = _place_layers(rounds, networks)
    fields, per_round, per_forward = _split_fields(rounds, _row_fields(dims, rounds, layers, networks, static=static))
    trips: list[int | None] = []
    for index in range(len(rounds.classes)):
        counts = [row[index] for row in rounds.trips]
        trips.append(None if len(set(counts)) == 1 else len(per_round))
        if trips[-1] is not None:
            per_round.append(counts)
    forward_table = round_table + len(per_round) * len(rounds.trips)
    sampled = forward_table + len(per_forward) * len(rounds.forwards)
    head_rows = max(kind.head_rows for kind in rounds.classes)
    tokens = sampled + sequences * head_rows + SLACK
    positions = tokens + sequences * token_pitch
    scattered = any(kind.scattered or kind.operators is not None or kind.block_rows for kind in rounds.classes)
    listed = positions + scattered * token_pitch
    further = listed + scattered * sequences * token_pitch
    parents = further + max(max(kind.mix_terms - 2, 0) * kind.mix_rows for kind in rounds.classes)
    trees = {(kind.q_rows, kind.tree) for kind in rounds.classes if kind.tree}
    blocks = parents + max((rows for rows, _ in trees), default=0)
    starts = _block_starts(rounds, token_pitch)
    end = blocks + len(starts)
    if end > dims.view.int_words:
        found = f"tables and tokens of {sequences} sequences take {end} words of INT_MEM"
        raise WorkloadError(f"machine {dims.view.name}: {found}; expected at most {dims.view.int_words}")
    shared = [word for row in zip(*per_round, strict=True) for word in row]
    shared += [word for row in zip(*per_forward, strict=True) for word in row]
    images = []
    for core in range(dims.view.cores):
        words = _variables(dims, tensors, core, (round_table, forward_table), seed)
        for passed in layers:
            words += _layer_rows(passed, tensors, core)
        words += shared
        if scattered:
            words += [0] * (positions - len(words)) + _spread(token_pitch)
        if trees:
            words += [0] * (parents - len(words)) + _parents(trees, dims)
        if starts:
            words += [0] * (blocks - len(words)) + starts
        images.append(tuple(words))
    return Tables(
        layers=layers, positions=positions, listed=listed, round_words=len(per_round),
        forward_words=len(per_forward), trips=tuple(trips), fields=fields, tokens=tokens,
        token_pitch=token_pitch, sampled=sampled, further=further, parents=parents,
        blocks=blocks, block_count=len(starts), end=end, images=tuple(images),
    )  # fmt: skip


def _block_starts(rounds: Rounds, rows: int) -> list[int]:
    """First rows of the blocks in which keys are chosen, if they are; raises WorkloadError for blocks of two sizes."""
    sizes = {kind.block_rows for kind in rounds.classes} - {0}
    if len(sizes) > 1:
        raise WorkloadError(f"key blocks of {' and '.join(map(str, sorted(sizes)))} rows; expected one size")
    return block_starts(rows, sizes.pop()) if sizes else []


def _variables(dims: Dims, tensors: Tensors, core: int, rows: tuple[int, int], seed: int) -> list[int]:
    """What the program's variables hold at the start; `rows`: of the round's and of the forward's table."""
    words = [0] * FIRST_TABLE
    words[Cell.ROUND], words[Cell.FORWARD] = rows
    words[Cell.CORE] = core
    words[Cell.DRAWS] = seed % SEEDS * DRAWS_OF_A_SEED
    for index in range(dims.view.cores - 1):
        words[Cell.PEERS + index] = (core + 1 + index) % dims.view.cores
    if tensors.spill:
        words[Cell.SPILL_BASE : Cell.SPILL_BASE + 2] = divmod(tensors.spill[core].base, 1 << 32)
    if tensors.logits is not None and len(tensors.logits.bases) > 1:
        pages = [base >> PAGE_BITS for base in reversed(tensors.logits.bases)]
        words[Cell.LOGIT_PAGES : Cell.LOGIT_PAGES + 2] = pages
    return words


def with_routing(tables: Tables, plan: RoutingPlan, tensors: Tensors, vlen: int) -> Tables:
    """The same with pages of experts, and lists of who takes which rows, behind everything else."""
    assert tensors.experts is not None
    pages = [base >> PAGE_BITS for base in tensors.experts.bases]
    lists = tables.end + len(pages)
    words = [*pages, *plan.table(lists, vlen)]
    images = []
    for image in tables.images:
        full = [*image, *[0] * (tables.end - len(image)), *words]
        full[Cell.ROUTE] = lists
        images.append(tuple(full))
    return attrs.evolve(tables, pages=tables.end, end=tables.end + len(words), images=tuple(images))


def _spread(rows: int) -> list[int]:
    """Every row once, neighbours far apart: the list from which scattered rows are taken."""
    stride = next(step for step in range(rows * 5 // 8 + 1, 2 * rows + 2) if math.gcd(step, rows) == 1)
    return [index * stride % rows for index in range(rows)]


def _place_layers(rounds: Rounds, networks: Networks) -> tuple[dict[Route, int], int]:
    """Where the layers' tables lie, and the word behind them: the model's, to the LM head and not, come first."""
    routes = {route(kind, networks): None for kind in rounds.classes}
    order = sorted(routes, key=lambda passed: (list(networks.depths).index(passed.network), not passed.head))
    places, end = {}, FIRST_TABLE
    for passed in order:
        places[passed] = end
        end += LAYER_ROW * (passed.layers + 1)
    return places, end


def _layer_rows(passed: Route, tensors: Tensors, core: int) -> list[int]:
    """Every layer's row, and one with the base of what follows them: the LM head, or the first layer again."""
    words: list[int] = []
    cache = tensors.kv[passed.network][core]
    bases = [base for tensor in tensors.layers[passed.network][core : core + 1] for base in tensor.bases]
    bases += tensors.mixtures.bases if tensors.mixtures is not None else ()
    biases = tensors.bias[passed.network]
    for layer in range(passed.layers):
        words += [bases[layer] >> PAGE_BITS, cache.at(layer) >> PAGE_BITS]
        words.append(biases[core].at(layer) >> PAGE_BITS if biases else 0)
    follower = tensors.head[core].base if passed.head else bases[0]
    return [*words, follower >> PAGE_BITS, 0, 0]


def _row_fields(
    dims: Dims, rounds: Rounds, layers: dict[Route, int], networks: Networks, *, static: bool
) -> list[dict[str, int]]:
    """The integers that every forward reads, by name."""
    rows = [row_fields(forward, dims.view.hlen) for forward in rounds.forwards]
    if static:
        rows = [{**row, "renews": int(index == 0)} for index, row in enumerate(rows)]
    masked = [kind for kind in rounds.classes if kind.own_tiles(dims.view.hlen)]
    if masked:
        most, kinds = max(kind.q_rows for kind in masked), zip(rows, rounds.forwards, rounds.kinds, strict=True)
        rows = [{**row, "mask_row": _mask_row(forward, kind, dims.view.hlen, most)} for row, forward, kind in kinds]
    if any(kind.mix_rows for kind in rounds.kinds):
        pairs = zip(rounds.forwards, (*rounds.forwards[1:], rounds.forwards[-1]), strict=True)
        rows = [{**row, **mixed_rows(*pair)} for row, pair in zip(rows, pairs, strict=True)]
    if networks.several:
        tables = [layers[route(kind, networks)] for kind in rounds.kinds]
        rows = [{**row, "next": table} for row, table in zip(rows, [*tables[1:], tables[-1]], strict=True)]
    return rows


def _parents(trees: set[tuple[int, int]], dims: Dims) -> list[int]:
    """Vector SRAM elements from the root's row to those of the parents; raises WorkloadError for different trees."""
    if len(trees) > 1:
        found = f"trees of {', '.join(f'{rows} rows, {width} at each depth' for rows, width in sorted(trees))}"
        raise WorkloadError(f"{found}; expected one shape of trees")
    ((rows, width),) = trees
    return [parent(row, width) * dims.view.vlen for row in range(1, rows)]


def _mask_row(forward: Forward, kind: ForwardClass, hlen: int, most: int) -> int:
    """See `row_masks`: which row of the table the first query row takes for the last key tile, less 1."""
    return forward.q_start - (kind.key_tiles - 1) * hlen + most - 1 if kind.own_tiles(hlen) else 0


def _split_fields(
    rounds: Rounds, rows: list[dict[str, int]]
) -> tuple[tuple[Fields, ...], list[list[int]], list[list[int]]]:
    """Fields of every class, columns of the round table, columns of the forward table."""
    kinds = [rounds.classes.index(kind) for kind in rounds.kinds]
    starts = [*rounds.starts(), len(rows)]
    per_round: list[list[int]] = []
    per_forward: dict[str, list[int]] = {}
    out: list[Fields] = []
    for index in range(len(rounds.classes)):
        fields = Fields({}, {}, {})
        for name in rows[0]:
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
