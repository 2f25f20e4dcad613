"""What every operator's emitter needs: the builder, the model's share, the options, the place of things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Builder, Count, Word
from workloads.lowering.emit.places import Cell
from workloads.lowering.emit.weights import Rows, Stream
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.hbm import Tensor
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.vectors import VectorPlan


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
    bias: dict[str, tuple[Tensor, ...]]
    """Vectors of each layer that rows are added to or multiplied by, by network; none where there are none."""
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
