"""Architectural state with values: what programs can see, bounds-checked, and what was never written.

A semantic function reads the state, computes, and returns what is to be written as `Write`s. The
interpreter carries them out at once, the timed machine when the instruction retires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import attrs
import numpy as np
import numpy.typing as npt

from archsim.errors import MemoryFault, ProgramFault
from archsim.isa.semantics.hbm import Hbm
from archsim.isa.semantics.rounding import ROUNDINGS, Floats, Rounding
from archsim.isa.semantics.shape import Products, Shape, Sticky, products, reset
from archsim.isa.semantics.storage import Bytes8

if TYPE_CHECKING:
    from archsim.isa.semantics.step import Step


class Write(NamedTuple):
    """A result on its way; `integers`: to INT_MEM, which the front end reads ahead of the units."""

    apply: Callable[[], None]
    integers: bool = False


class Call:
    """One dynamic instruction: what it is, its operands' values, and the sticky state it was given.

    `arguments` has one integer per operand: the value of a gp register that is read, the address of an
    `a` register, else the number in the field. `result` is the integer of an instruction that makes one.
    """

    __slots__ = ("arguments", "result", "step", "sticky", "unit")

    def __init__(self, step: Step, arguments: list[int], sticky: Sticky, unit: int = 0) -> None:
        self.step = step
        self.arguments = arguments
        self.sticky = sticky
        self.unit = unit
        """Which tensor core it runs on."""
        self.result: int | None = None


class Content:
    """Values of a tile, in the rows it is stored in: (BLEN, k) of weights, (tokens, lanes) of a cache.

    They never change, so that `cut`, what the tensor core makes of them, is made once.
    """

    __slots__ = ("cut", "values")

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.cut: dict[bool, Floats] = {}


class Tile(NamedTuple):
    """A tile in Matrix SRAM."""

    high: int
    """Cell behind the tile."""
    kv: bool
    content: Content


class Accumulator:
    """Sums of one tensor core: `values` (BLEN, BLEN or MLEN) in the accumulator's precision; None: all zero."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: Floats | None = None


@attrs.define(eq=False)
class CoreState:
    """One core's memories and registers."""

    name: str
    index: int
    shape: Shape
    hbm: Hbm
    peers: list[CoreState]
    """All cores by index, for transfers between them."""
    tensors: list[Accumulator]
    vectors: Floats = attrs.field(init=False)
    """(vectors, VLEN); NaN where never written."""
    stamps: list[int] = attrs.field(init=False)
    """Per vector, `clock` at its last write, 0 where there was none."""
    tiles: dict[int, Tile] = attrs.field(factory=dict)
    """Matrix SRAM: disjoint tiles by their first cell."""
    fp: Floats = attrs.field(init=False)
    fp_written: npt.NDArray[np.bool_] = attrs.field(init=False)
    ints: npt.NDArray[np.int64] = attrs.field(init=False)
    f: list[float] = attrs.field(factory=lambda: [0.0] * 8)
    gp: list[int | Call] = attrs.field(factory=lambda: [0] * 16)
    """Integers; a Call where its result is still to come."""
    bases: list[int] = attrs.field(factory=lambda: [0] * 8)
    peaks: dict[int, Floats] = attrs.field(factory=dict)
    """KV engine: channel maxima (VLEN,) by slot."""
    sticky: Sticky = attrs.field(init=False)
    loops: list[int] = attrs.field(factory=list)
    clock: int = 0
    """Counts writes to Vector SRAM."""
    operands: dict[tuple[int, ...], tuple[int, Floats]] = attrs.field(factory=dict)
    """Rows as a tensor core last took them, with the clock at that time."""
    products: tuple[Products, Products] = attrs.field(init=False)
    """Of the activations and a weight tile, or a cache tile."""
    round: Rounding = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        shape = self.shape
        self.vectors = np.full((shape.vectors, shape.vlen), np.nan, np.float32)
        self.stamps = [0] * shape.vectors
        self.fp = np.full(shape.fp_words, np.nan, np.float32)
        self.fp_written = np.zeros(shape.fp_words, np.bool_)
        self.ints = np.zeros(shape.int_words, np.int64)
        self.sticky = reset(shape)
        acts = shape.formats.activations
        self.products = products(acts, shape.formats.weights), products(acts, shape.formats.kv)
        self.round = ROUNDINGS[shape.acts]

    # -- faults

    def fault(self, call: Call, text: str) -> NoReturn:
        """Raise MemoryFault at the instruction."""
        raise MemoryFault(f"{self.name}: {call.step.place}: {text}")

    def wrong(self, call: Call, text: str) -> NoReturn:
        """Raise ProgramFault at the instruction."""
        raise ProgramFault(f"{self.name}: {call.step.place}: {text}")

    # -- Vector SRAM

    def rows(self, call: Call, address: int, count: int, stride: int) -> slice:
        """`count` vectors from element `address` on, `stride` vectors apart, as an index of `vectors`.

        Stride 0 stands for one vector. Raises MemoryFault for an address inside a vector, and outside.
        """
        vlen = self.shape.vlen
        first, inside = divmod(address, vlen)
        if inside:
            self.fault(call, f"Vector SRAM address {address}; expected a multiple of VLEN = {vlen}")
        last = first + (count - 1) * stride
        if last >= self.shape.vectors:
            end = (last + 1) * vlen
            self.fault(call, f"Vector SRAM [{address}, {end}); expected within [0, {self.shape.vectors * vlen})")
        return slice(first, last + 1, stride or 1)

    def read(self, call: Call, address: int, count: int, stride: int) -> Floats:
        """A view of rows (count, VLEN), or (1, VLEN) for stride 0; raises MemoryFault where one was never written."""
        where = self.rows(call, address, count, stride)
        stamps = self.stamps[where]
        if 0 in stamps:
            lost = (where.start + stamps.index(0) * where.step) * self.shape.vlen
            self.fault(call, f"reads Vector SRAM at {lost}, which nothing has written; expected a transfer or a result")
        return self.vectors[where]

    def put(self, call: Call, address: int, values: Floats, count: int, stride: int) -> Write:
        """Write rows (count, VLEN); with stride 0 the last of them stays."""
        where = self.rows(call, address, count, stride)
        rows = values[-1:] if not stride else values
        return Write(lambda: self.store(where, rows))

    def put_lanes(self, call: Call, address: int, values: Floats, pitch: int) -> Write:
        """Write (rows, lanes) to lanes from element `address` on, rows `pitch` vectors apart."""
        vlen, count = self.shape.vlen, len(values)
        first, lane = divmod(address, vlen)
        last = first + (count - 1) * pitch
        if last >= self.shape.vectors or lane + values.shape[1] > vlen:
            end = last * vlen + lane + values.shape[1]
            limit = self.shape.vectors * vlen
            self.fault(call, f"Vector SRAM [{address}, {end}); expected within vectors, and [0, {limit})")
        where = slice(first, last + 1, pitch)
        lanes = slice(lane, lane + values.shape[1])
        return Write(lambda: self._store_lanes(where, lanes, values))

    def store(self, where: slice, values: Floats) -> None:
        """Write whole vectors now."""
        self.vectors[where] = values
        self._stamp(where, len(values))

    def _store_lanes(self, where: slice, lanes: slice, values: Floats) -> None:
        self.vectors[where, lanes] = values
        self._stamp(where, len(values))

    def _stamp(self, where: slice, count: int) -> None:
        self.clock += 1
        self.stamps[where] = [self.clock] * count

    # -- Matrix SRAM

    def put_tile(self, call: Call, low: int, tile: Tile) -> Write:
        """Write a tile; what it covers of others is lost."""
        if tile.high > self.shape.matrix_cells:
            limit = self.shape.matrix_cells
            self.fault(call, f"Matrix SRAM [{low}, {tile.high}); expected within [0, {limit})")
        return Write(lambda: self._store_tile(low, tile))

    def _store_tile(self, low: int, tile: Tile) -> None:
        old = self.tiles.get(low)
        if old is None or old.high != tile.high:
            covered = [at for at, other in self.tiles.items() if at < tile.high and low < other.high]
            for at in covered:
                del self.tiles[at]
        self.tiles[low] = tile

    def tile(self, call: Call, low: int, *, kv: bool) -> Content:
        """The tile that begins at cell `low`; raises MemoryFault where none, or one of the other kind, does."""
        tile = self.tiles.get(low)
        if tile is None or tile.kv is not kv:
            kind = "key or value" if kv else "weight"
            self.fault(call, f"reads Matrix SRAM at {low}; expected the first cell of a {kind} tile that was fetched")
        return tile.content

    # -- HBM

    def check_hbm(self, call: Call, low: int, size: int) -> None:
        """Raise MemoryFault for a range beyond HBM."""
        if low + size > self.hbm.size:
            self.fault(call, f"HBM [{low}, {low + size}); expected within [0, {self.hbm.size})")

    def read_hbm(self, call: Call, low: int, size: int, what: str = "") -> Bytes8:
        """Bytes of HBM; raises MemoryFault where nothing has written them, `what` saying more about them."""
        self.check_hbm(call, low, size)
        lost = self.hbm.missing(low, size)
        if lost is not None:
            region = self.hbm.region(lost)
            name = f", in tensor {region}," if region else ""
            self.fault(call, f"reads HBM at byte {lost}{name} which nothing has written{what}; expected a value there")
        return self.hbm.read(low, size)

    # -- FP_MEM, INT_MEM, registers

    def words(self, call: Call, what: str, low: int, count: int, size: int) -> slice:
        """A range of a word memory; raises MemoryFault beyond it."""
        if low + count > size:
            self.fault(call, f"{what} [{low}, {low + count}); expected within [0, {size})")
        return slice(low, low + count)

    def read_fp(self, call: Call, low: int, count: int) -> Floats:
        """FP_MEM words; raises MemoryFault for those never written."""
        where = self.words(call, "FP_MEM", low, count, self.shape.fp_words)
        written = self.fp_written[where]
        if not written.all():
            self.fault(call, f"reads FP_MEM[{low + int(np.argmin(written))}], which nothing has written")
        return self.fp[where]

    def put_fp(self, call: Call, low: int, value: float) -> Write:
        """Write one FP_MEM word."""
        self.words(call, "FP_MEM", low, 1, self.shape.fp_words)
        return Write(lambda: self._store_fp(low, value))

    def _store_fp(self, low: int, value: float) -> None:
        self.fp[low] = value
        self.fp_written[low] = True

    def read_ints(self, call: Call, low: int, count: int) -> npt.NDArray[np.int64]:
        """A copy of INT_MEM words."""
        return self.ints[self.words(call, "INT_MEM", low, count, self.shape.int_words)].copy()

    def put_ints(self, call: Call, low: int, values: npt.NDArray[np.int64] | int, count: int) -> Write:
        """Write INT_MEM words."""
        where = self.words(call, "INT_MEM", low, count, self.shape.int_words)

        def store() -> None:
            self.ints[where] = values

        return Write(store, integers=True)

    def put_f(self, register: int, value: float) -> Write:
        """Write an f register, rounded; f0 stays 0."""
        rounded = self.rounded(value)

        def store() -> None:
            if register:
                self.f[register] = rounded

        return Write(store)

    def rounded(self, value: float) -> float:
        """A real as a register holds it."""
        return float(self.round(np.asarray([value], np.float32))[0])
