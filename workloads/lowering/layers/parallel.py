"""Tensor parallelism: every core holds the residual rows; each adds its own partial products to its share.

Before a projection every core divides its rows by the number of cores, so that the sum over cores of
(share + partial product) is the new residual. That sum is a reduce-scatter (each core owns a part of
every piece, to which the other cores' values are added on arrival) and an all-gather (owners send their
part to all).
"""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import F_SHARE, Cell
from workloads.lowering.layers import norms

_SHARE, _IGNORED = 1, 7


def split_residual(c: Context) -> None:
    """x /= cores."""
    if c.dims.view.cores > 1:
        b, v = c.b, c.vectors
        b.emit("S_LD_FP", _SHARE, 0, F_SHARE)
        b.v_rows(c.dims.hidden.blocks * v.rows)
        b.emit("V_MUL_VF", c.v(v.x), c.v(v.x), _SHARE)


class Reduction:
    """x = sum of all cores' x, by pieces, and the squares that the next norm needs.

    A round takes a new piece into its reduce-scatter and the piece before it into its all-gather, so
    that both run while the tensor core computes the column block after them. Between two rounds all
    cores meet with all transfers received; so a receipt is never counted for another round's, and
    nothing arrives where a core is not done with its own sums.
    """

    def __init__(self, context: Context) -> None:
        self.c = context
        rows, blocks, self.cores = context.vectors.rows, context.dims.hidden.blocks, context.dims.view.cores
        by_block = rows % self.cores == 0
        self.span = rows if by_block else rows * blocks
        self.pieces = blocks if by_block else 1
        if self.span % self.cores:
            found = f"machine {context.dims.view.name}: {self.span} residual vectors"
            raise WorkloadError(f"{found}; expected a multiple of the {self.cores} cores")
        self._scattering: int | None = None
        self._gathering: int | None = None
        self._receipts = 0
        self._squared = 0
        self._late = -1

    def ready(self, block: int) -> None:
        """A column block of this core's x has been emitted; start on the one before it."""
        if self.pieces > 1 and block > 0:
            self._round(block - 1)
        self._late = block

    def finish(self) -> None:
        """Reduce what is left, and wait for all of it."""
        self._round(self._late if self.pieces > 1 else 0)
        self._round(None)
        self._receive()

    def _round(self, piece: int | None) -> None:
        c = self.c
        c.phase("allreduce")
        if piece is not None:
            self._settle(piece)
        self._receive()
        meet(c, 0)
        c.b.v_rows(self.span // self.cores)
        if self._scattering is not None:
            _put_parts(c, self._start(self._scattering), self.span // self.cores, gather=True)
        if piece is not None:
            _put_parts(c, self._start(piece), self.span // self.cores, gather=False)
        self._receipts = (self.cores - 1) * ((self._scattering is not None) + (piece is not None))
        self._gathering, self._scattering = self._scattering, piece

    def _receive(self) -> None:
        """Wait for the last round's transfers; what was gathered is now complete."""
        if self._receipts:
            self.c.b.emit("N_WAIT", self.c.b.const(self._receipts))
        self._receipts = 0
        if self._gathering is not None:
            v = self.c.vectors
            for _ in range(self.c.dims.hidden.blocks // self.pieces):
                block = self._squared
                norms.add_squares(self.c, self.c.activations(v.x), block, v.normed + block * v.rows)
                self._squared += 1
        self._gathering = None

    def _start(self, piece: int) -> int:
        return self.c.vectors.x + piece * self.span

    def _settle(self, piece: int) -> None:
        """Hold dispatch until the vector unit has written the piece."""
        settle(self.c, self._start(piece) + self.span - 1)


def settle(c: Context, vector: int) -> None:
    """Hold dispatch until the vector unit has written the vector: an integer that it makes of it is read.

    C_WAIT_IDLE would do, but it would also wait for the weight stream.
    """
    with c.b.reg() as index:
        ask(c, vector, index)
        answered(c, index)


def ask(c: Context, vector: int, index: int) -> None:
    """The first half: have the vector unit put an integer into register `index` when the vector is there."""
    c.b.v_rows(1)
    c.b.emit("S_ADD_FP", _IGNORED, 0, 0)
    c.b.emit("V_RED_MAX_IDX", index, c.v(vector), 0, _IGNORED)


def answered(c: Context, index: int) -> None:
    """The second half: hold dispatch until the integer is there."""
    c.b.emit("S_ADDI_INT", index, index, 0)


def meet(c: Context, number: int) -> None:
    """Wait until all cores have come here."""
    c.b.emit("C_BARRIER", c.b.const(number), c.b.const(c.dims.view.cores))


def _put_parts(c: Context, start: int, part: int, *, gather: bool) -> None:
    """Send every other core its part of the vectors from `start`, to be added; or (gather) the own part."""
    b, pitch = c.b, part * c.dims.view.vlen
    with b.reg() as peer, b.reg() as place:
        for index in range(c.dims.view.cores - 1):
            b.load(peer, Cell.PEERS + index)
            if gather:
                b.load(place, Cell.CORE)
                b.emit("S_MUL_INT", place, place, b.const(pitch))
            else:
                b.emit("S_MUL_INT", place, peer, b.const(pitch))
            b.add(place, start * c.dims.view.vlen)
            b.emit("N_PUT", place, place, peer, int(not gather))
