"""What every operator's emitter needs: the builder, the model's share, the options, the place of things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.builder import Builder, Count, Word
from workloads.lowering.classes import ForwardClass
from workloads.lowering.dims import Dims
from workloads.lowering.hbm import Tensor
from workloads.lowering.options import LoweringOptions
from workloads.lowering.stages import Plan
from workloads.lowering.vectors import VectorPlan
from workloads.lowering.weights import Rows, Stream

A_WEIGHTS, A_KV, A_TABLES, A_LOGITS, A_SPILL, A_PREVIOUS, A_EXPERTS, A_KEPT = range(8)
"""HBM address registers: the weight stream, the layer's KV cache, tables of the moment, logits, spilled rows,
logits of the forward before, the layer's routed experts, outputs of operators that are kept."""

F_ONE, F_MEAN, F_EPSILON, F_SHARE, F_HEAD, F_LINEAR, F_CUBIC = range(7)
"""FP_MEM words with constants: 1, 1 / hidden, the norm's epsilon, 1 / cores, 1 / head_dim, factors of GELU."""
F_SAMPLING = 7
"""First of the constants of a sampling variant."""
F_HUGE, F_TINY = 14, 15
"""A huge power of two and its inverse, for the choice of experts."""
F_SCALE = F_LINEAR
"""What their scores are multiplied by; no model has both experts and GELU."""
FP_SCRATCH = 16
"""First FP_MEM word that is free for sampling."""


class Cell:
    """INT_MEM words with the program's own variables."""

    LAYER = 0
    """Address of the current layer's table row."""
    SLOT = 1
    """First KV scale slot of the layer and group of sequences."""
    KV_WRITE = 2
    """Element offset of the first K row written, in the layer's cache."""
    KV_READ = 3
    """Element offset of the group's first K row."""
    IDS = 4
    """INT_MEM address of the group's first query token."""
    LOGITS = 5
    """Element offset of the group's first logits."""
    BIAS = 6
    """Element offset of the layer's biases."""
    ROUND = 7
    """Address of the current round's table row."""
    FORWARD = 8
    """Address of the current forward's table row."""
    TAIL = 9
    """Elements of the last key tile that hold keys."""
    HEAD = 10
    """Vector SRAM elements from the first query row to the first LM-head row."""
    TOKENS = 11
    """INT_MEM address of sequence 0's first LM-head token."""
    COMMITTED = 12
    """Positions of each sequence that take their token after this forward."""
    BIAS_BASE = 13
    """Byte base of the biases: high word, low word."""
    CORE = 15
    """Index of this core."""
    ROW = 16
    """First query row of the row tile, counted from the forward's first."""
    Q_START = 17
    """Position of the forward's first query row."""
    SPILL_BASE = 18
    """Byte base of the spilled rows: high word, low word."""
    Q_ROWS = 48
    """Query rows of the forward, where its class has several numbers of them."""
    LAST_ROWS = 49
    """Those of the last row tile."""
    HEAD_ROWS = 50
    """LM-head rows of the forward, likewise."""
    LAST_HEAD = 51
    """Those of the last row tile."""
    SAMPLED = 52
    """Rows that are sampled."""
    PAIRS = 53
    """Pairs of them, the last one perhaps of one row."""
    LOOSE = 54
    """Query rows that stand alone."""
    RUN = 55
    """The others."""
    RUNS = 56
    """1 if there are others."""
    RENEWS = 57
    """1 if this forward sets the channel scales of the KV cache, where only the first one does."""
    NEXT_PAGE = 58
    """Page of the weights that follow the LM head, where there are networks beside the model."""
    GIVEN = 62
    """FP_MEM word of the group's first sum of given tokens' logits."""
    POLICY_ROWS = 59
    """Rows that go through the policy network, where forwards of the class have several numbers of them."""
    LAST_POLICY = 60
    """Those of the last row tile."""
    DRAWS = 61
    """Random draws so far, each of a row of logits or of a sequence's rows."""
    KEPT = 46
    """Element offset of what is kept of the layer."""
    LOGIT_PAGES = 44
    """Pages of the logits of this forward and of the one before, where those are kept."""
    PAGES = 33
    """Address of the page of the current layer's experts. This and what follows: one core only, so no peers."""
    ROUTE = 34
    """Address of the next word that points to a list of experts and their rows."""
    ENTRY = 35
    """Address of the current expert's entry in the list."""
    ROWS_AT = 36
    """Address of the current expert's rows."""
    EXPERT_ROWS = 37
    """Number of them."""
    EXPERT = 38
    """Element at which the current expert's matrices begin."""
    NEXT_EXPERT = 39
    """The same of the expert after it."""
    MIX_ROWS = 70
    """Rows of which mixtures are made for the next forward, likewise."""
    LAST_MIX = 63
    """Those of the last row tile."""
    MIX_FIRST = 64
    """The first of them, counted from the first LM-head row."""
    MIX_START = 65
    """Element offset of its logits in a chunk."""
    SOFT_ROWS = 66
    """Query rows that enter as mixtures, likewise."""
    SOFT_START = 67
    """Vector SRAM elements from the first query row to the first of them."""
    MASK_ID = 68
    """The mask token."""
    ACCEPTED = 69
    """Nodes of a tree whose K and V are moved."""
    PEERS = 20
    """Numbers of the other cores, in the order in which this core addresses them."""


LAYER_ROW = 2
"""Words of a layer's table row: weight base, KV base, in pages."""
PAGE_BITS = 12
"""Bases in pages (see C_SET_ADDR_PAGE) move by the same amount from layer to layer, also across 4 GiB."""


@attrs.define(eq=False, kw_only=True)
class Tensors:
    """Everything that lies in HBM; with tensor parallelism weights and KV cache are one per core."""

    layers: dict[str, tuple[Tensor, ...]]
    """By network; the model's name is empty."""
    head: tuple[Tensor, ...]
    kv: dict[str, tuple[Tensor, ...]]
    """By network."""
    embedding: tuple[Tensor, ...]
    """One table per column block of the hidden dimension."""
    rope: Tensor
    masks: Tensor | None
    bias: tuple[Tensor, ...]
    spill: tuple[Tensor, ...]
    """Rows between row tiles: residual, queries, keys and values; see `tiled`."""
    logits: Tensor | None
    row_masks: Tensor | None = None
    """Masks of rows that do not all see the same keys; see `row_masks`."""
    kept: Tensor | None = None
    """Outputs of operators by layer, for rows that later forwards leave out of them."""
    policy: Tensor | None = None
    """The network behind sampling that chooses rows."""
    mixtures: Tensor | None = None
    """Matrices that all rows meet, of the layers with experts; `layers` are then those of the others."""
    experts: Tensor | None = None
    """Routed experts of those layers."""
    transposed: Tensor | None = None
    """The embedding as tiles that reduce over the vocabulary, where rows enter as sums of all of it."""
    soft: Tensor | None = None
    """Rows that enter the next forward: [row][column block][lane]."""


@attrs.frozen(kw_only=True)
class Tiling:
    """Row tiles of a forward: all but the last are `full` rows of `rows`.

    `plans` are those of the projections and of the rest, each once with itself as follower (all tiles
    but the last) and once with what comes after the last tile.
    """

    tiles: int
    rows: int
    full: int
    last_kind: ForwardClass
    last_vectors: VectorPlan
    projections: tuple[Plan, Plan]
    rest: tuple[Plan, Plan]
    mixture_rest: tuple[Plan, Plan] | None
    """The same of layers with experts."""


@attrs.frozen(kw_only=True)
class Listed:
    """INT_MEM addresses of the positions of scattered rows, and of a compact list of their tokens."""

    positions: int
    tokens: int
    pitch: int
    """Words from one sequence's tokens to the next one's."""


@attrs.frozen(kw_only=True, eq=False)
class Mixture:
    """Layers of experts: the plan of what all rows meet, and the stream of experts, of which the last one ends it."""

    layer_plan: Plan
    stream: Stream
    expert_plan: Plan
    last_plan: Plan
    pages: int
    """INT_MEM address of the first such layer's page."""
    elements: int
    """Elements of one expert."""


@attrs.define(eq=False, kw_only=True)
class Context:
    """One class of forwards being lowered."""

    b: Builder
    dims: Dims
    options: LoweringOptions
    tensors: Tensors
    stream: Stream
    layer_plan: Plan
    head_plan: Plan
    policy_plan: Plan | None
    """Where a network chooses rows."""
    mix_plan: Plan | None
    """Where mixtures of all embeddings are made."""
    kind: ForwardClass
    vectors: VectorPlan
    cached: int
    """Sequences that the KV cache holds, at least those of the forward."""
    positions: int
    """Rows of a sequence's KV cache."""
    kv_base: int
    """First Matrix SRAM cell of the KV area; it holds `kv_buffers` runs of a sequence's key tiles."""
    kv_buffers: int
    table: int
    """INT_MEM address of the first layer's table row."""
    layers: int
    """Layers that run."""
    first_layer: int = 0
    """Number of the first of them, counted over the layers of all networks."""
    switches: bool = False
    """Whether the next forward may go through another network."""
    further: int = 0
    """INT_MEM address of tokens behind the most probable one, [rank][row of a mixture]."""
    parents: int = 0
    """INT_MEM address of the parents in a tree of query rows."""
    positions_list: int = 0
    """INT_MEM address of positions of rows that stand alone, of any set of rows."""
    chosen_list: int = 0
    """INT_MEM address of those that were chosen by value, which nothing depends on."""
    block_list: int = 0
    """INT_MEM address of the first rows of blocks of keys."""
    blocks: int = 0
    """Number of these blocks."""
    listed: Listed | None = None
    """Where rows stand anywhere on the canvas."""
    tiling: Tiling | None = None
    """Where rows go through the layers in tiles; `kind` and `vectors` are then those of a full tile."""
    mixture: Mixture | None = None
    """Where layers have experts."""
    last_tile: bool = False
    partial: bool = False
    """Whether rows are some of the forward's, which some operators take."""
    write_row: int = 0
    """First row of the cache that is written, counted from the forward's first."""
    first_row: int = 0
    """First query row of a causal tile, counted from the forward's first."""

    @property
    def table_precision(self) -> int:
        """Precision operand of transfers of tables and spilled rows."""
        return self.options.table_format.code

    @property
    def embedding_precision(self) -> int:
        """That of gathers from the embedding, which may be the LM head's matrix."""
        return self.options.weight_format.code if self.dims.shares_embedding else self.table_precision

    @property
    def groups(self) -> int:
        """Passes over the layers that a forward takes, each for some of the sequences."""
        return self.sequences // self.vectors.sequences

    @property
    def sequences(self) -> int:
        """Sequences of the forward."""
        return self.kind.sequences

    @property
    def rows_vary(self) -> bool:
        """Whether the number of query rows is in INT_MEM; row tiles always do all rows of the class."""
        return self.kind.rows_vary and self.tiling is None

    @property
    def query_rows(self) -> Count:
        """Query rows of a sequence."""
        return Word(Cell.Q_ROWS) if self.rows_vary else self.kind.q_rows

    @property
    def mix_rows(self) -> Count:
        """Rows of which mixtures are made."""
        return Word(Cell.MIX_ROWS) if self.kind.mix_varies else self.kind.mix_rows

    @property
    def head_rows(self) -> Count:
        """LM-head rows of a sequence."""
        return Word(Cell.HEAD_ROWS) if self.kind.head_varies else self.kind.head_rows

    @property
    def all_rows(self) -> Count:
        """Rows of every vector instruction over all of them: of several sequences, as many as there is room for."""
        return self.query_rows if self.vectors.sequences == 1 else self.vectors.rows

    def part(self, start: int, most: int, rows: int) -> Count:
        """Rows from `start` of `rows` in parts of at most `most`, where those are the query rows."""
        left = rows - start
        last = self.rows_vary and rows == self.kind.q_rows and left <= most
        return Word(Cell.LAST_ROWS) if last else min(most, left)

    def activations(self, base: int) -> Rows:
        """All rows at `base` as a GEMM operand."""
        last = Word(Cell.LAST_ROWS) if self.rows_vary and self.vectors.sequences == 1 else None
        rows = self.vectors.rows
        return Rows(base=base, rows=rows, pitch=rows, count=self.all_rows, last=last)

    def head(self, base: int) -> Rows:
        """The LM-head rows at `base` as a GEMM operand."""
        rows = self.vectors.head_rows
        if not self.kind.head_varies or self.vectors.sequences > 1:
            return Rows(base=base, rows=rows, pitch=rows)
        return Rows(base=base, rows=rows, pitch=rows, count=self.head_rows, last=Word(Cell.LAST_HEAD))

    def v(self, vector: int) -> int:
        """A register with the address of a vector."""
        return self.b.const(vector * self.dims.view.vlen)

    def phase(self, operator: str) -> None:
        """Mark the start of an operator."""
        self.b.phase(self.kind.kind, operator)

    @contextmanager
    def offset(self, cell: int, extra: int) -> Iterator[int]:
        """A register with the value of a cell plus a constant."""
        with self.b.reg() as register:
            self.b.load(register, cell)
            self.b.add(register, extra)
            yield register

    def tile_precision(self, *, value: bool) -> int:
        """H_PREFETCH_M's precision operand for tiles of keys or values; raises WorkloadError where tiles cut scales."""
        fmt, view = self.options.kv_format, self.dims.view
        if fmt.asymmetric and (view.hlen % fmt.block or self.kind.key_block % fmt.block):
            found = f"machine {view.name}: key tiles of {view.hlen} positions, key blocks of {self.kind.key_block}"
            raise WorkloadError(f"{found}; expected multiples of the {fmt.block} that share scales by channel")
        return self.options.tile_precision(value=value)

    def kv_offset(self, value: bool, sequence: int, group: int) -> int:
        """Element offset of a slab of the layer's KV cache: [K|V][sequence][KV group][position][lane]."""
        kv = self.dims.kv
        slab = (int(value) * self.cached + sequence) * kv.blocks + group
        return slab * self.positions * kv.width

    def slot(self, value: bool, sequence: int, group: int) -> int:
        """KV scale slot, counted from the layer's first."""
        return (int(value) * self.cached + sequence) * self.dims.kv.blocks + group
