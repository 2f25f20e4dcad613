"""The published d-PLENA sampler as a program, for validation against its cycle table.

Source: d-PLENA (arXiv 2601.20706 v1) and the assembly template of its public compiler, "performance"
mode: the logits of a whole batch row are loaded once, then the two passes of Stable-Max
(conf = 1 / sum(exp(x - max))) run on chip. Positions are a hardware loop; vocabulary chunks,
prefetches and batch rows are unrolled, every prefetch with its own addresses.

One deviation: the template starts the running maximum at 0, which is wrong for a row of negative
logits; here it starts at -inf (S_ADD_FP from a register made once as 0 - 1/0), at equal cost.

Vector SRAM, in vectors: transfer masks, position masks, confidences (`batch` each), logits of one batch row.
INT_MEM, in words: x, x0 (batch x length each), k of every step. FP_MEM: confidences of one batch row.
HBM from byte 0, in MXFP8: logits [batch row][position][chunk][VLEN], position masks [batch row][VLEN]; then the
scales of both. The masks come with one prefetch per 16 rows, which the published count does not show.
"""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError
from archsim.isa.program import Header, Instruction, PhaseInfo, Program, instruction

PREFETCH_ROWS = 16
"""Vectors per H_PREFETCH_V, the published prefetch amount."""

MXFP8 = 3
MASK_TOKEN = 126336
"""LLaDA's mask id; only the initial INT_MEM image holds it."""

PHASES = (
    PhaseInfo("sampler.load", "sampling", "load"),
    PhaseInfo("sampler.stable_max", "sampling", "stable_max"),
    PhaseInfo("sampler.transfer", "sampling", "transfer"),
)
LOAD, STABLE_MAX, TRANSFER = range(3)

# Integer registers that live through the program; the others belong to whoever needs them.
LENGTH, K_ADDRESS, STEP_LOOP = 13, 14, 15
# Scalar registers: running max, running sum, -inf.
MAX, SUM, MINUS_INF = 1, 2, 3


@attrs.frozen(kw_only=True)
class Shape:
    """Sizes of the published sampler's program, in vectors unless said otherwise."""

    vlen: int
    batch: int
    length: int
    vocab: int

    @property
    def chunks(self) -> int:
        """Vectors per position."""
        return -(-self.vocab // self.vlen)

    @property
    def prefetches(self) -> int:
        """H_PREFETCH_V per batch row."""
        return -(-self.length * self.chunks // PREFETCH_ROWS)

    @property
    def logits_vector(self) -> int:
        """First vector of the logits."""
        return 3 * self.batch

    @property
    def vector_sram_vectors(self) -> int:
        """Vector SRAM that the program uses."""
        return self.logits_vector + self.prefetches * PREFETCH_ROWS

    @property
    def logits_elements(self) -> int:
        """Elements of all logits in HBM."""
        return self.batch * self.prefetches * PREFETCH_ROWS * self.vlen

    @property
    def mask_prefetches(self) -> int:
        """H_PREFETCH_V of the position masks."""
        return -(-self.batch // PREFETCH_ROWS)

    @property
    def code_bytes(self) -> int:
        """HBM bytes of logits and masks without their scales."""
        return self.logits_elements + self.mask_prefetches * PREFETCH_ROWS * self.vlen


def published_sampler(vlen: int, batch: int = 16, length: int = 32, vocab: int = 126464, steps: int = 1) -> Program:
    """One denoising block's sampling: `steps` times over `batch` rows of `length` positions.

    Every step loads the position masks that the step before it (or the host) left in HBM. Raises
    WorkloadError where a size is not positive or `length` exceeds `vlen`, the reach of V_TOPK_MASK.
    """
    _check(vlen, batch, length, vocab, steps)
    shape = Shape(vlen=vlen, batch=batch, length=length, vocab=vocab)
    code = _prologue(shape)
    code.append(instruction("C_LOOP_START", STEP_LOOP, steps))
    code += _load_masks(shape)
    for row in range(batch):
        code += _load(shape, row) + _stable_max(shape, row) + _transfer(shape, row)
    code.append(instruction("S_ADDI_INT", K_ADDRESS, K_ADDRESS, 1))
    code.append(instruction("C_LOOP_END", STEP_LOOP))
    return Program(instructions=tuple(code), header=_header(shape, steps), where=f"published sampler, VLEN {vlen}")


def _check(vlen: int, batch: int, length: int, vocab: int, steps: int) -> None:
    sizes = {"vlen": vlen, "batch": batch, "length": length, "vocab": vocab, "steps": steps}
    for name, value in sizes.items():
        if value < 1:
            raise WorkloadError(f"sampler: {name} = {value}; expected at least 1")
    if length > vlen:
        raise WorkloadError(f"sampler: length = {length}; expected at most vlen = {vlen}, one vector of confidences")
    if steps > length:
        raise WorkloadError(f"sampler: steps = {steps}; expected at most length = {length}, one position a step")


def _constant(register: int, value: int) -> list[Instruction]:
    """Always the pair: the template's addresses exceed the 18 bits of one immediate."""
    low = value % 4096
    return [instruction("S_LUI_INT", register, value >> 12), instruction("S_ADDI_INT", register, register, low)]


def _prologue(shape: Shape) -> list[Instruction]:
    return [
        *_constant(1, shape.code_bytes),
        instruction("C_SET_SCALE_REG", 1),
        *_constant(LENGTH, shape.length),
        *_constant(K_ADDRESS, 2 * shape.batch * shape.length),
        instruction("S_RECI_FP", MINUS_INF, 0),
        instruction("S_SUB_FP", MINUS_INF, 0, MINUS_INF),
    ]


def _prefetch(source: int, target: int) -> list[Instruction]:
    """One H_PREFETCH_V, with tensor base (64 bits), offset and destination set up anew."""
    return [
        *_constant(1, 0),
        *_constant(2, 0),
        instruction("C_SET_ADDR_REG", 0, 1, 2),
        *_constant(3, source),
        *_constant(4, target),
        instruction("H_PREFETCH_V", 4, 3, 0, 0, MXFP8),
    ]


def _load_masks(shape: Shape) -> list[Instruction]:
    """Position masks of all batch rows; what exceeds them lands where confidences come later."""
    code = [instruction("C_PHASE", LOAD)]
    vectors = PREFETCH_ROWS * shape.vlen
    for index in range(shape.mask_prefetches):
        code += _prefetch(shape.logits_elements + index * vectors, shape.batch * shape.vlen + index * vectors)
    return code


def _load(shape: Shape, row: int) -> list[Instruction]:
    """Logits of one batch row."""
    code = [instruction("C_PHASE", LOAD)]
    vectors = PREFETCH_ROWS * shape.vlen
    for index in range(shape.prefetches):
        source = (row * shape.prefetches + index) * vectors
        code += _prefetch(source, shape.logits_vector * shape.vlen + index * vectors)
    return code


def _stable_max(shape: Shape, row: int) -> list[Instruction]:
    """The loop over the positions of one batch row: token and confidence of each to INT_MEM and FP_MEM."""
    base, address, token, offset, confidences, tokens, loop = range(1, 8)
    step = [instruction("S_ADDI_INT", address, address, shape.vlen)]
    first = [instruction("V_RED_MAX_IDX", token, address, offset, MAX), *step]
    first.append(instruction("S_ADDI_INT", offset, offset, shape.vlen))
    second = [
        instruction("V_SUB_VF", address, address, MAX),
        instruction("V_EXP_V", address, address),
        instruction("V_RED_SUM", SUM, address),
        *step,
    ]
    return [
        instruction("C_PHASE", STABLE_MAX),
        *_constant(base, shape.logits_vector * shape.vlen),
        instruction("S_ADDI_INT", confidences, 0, 0),
        *_constant(tokens, (shape.batch + row) * shape.length),
        instruction("C_LOOP_START", loop, shape.length),
        instruction("S_ADDI_INT", address, base, 0),
        instruction("S_ADD_FP", MAX, MINUS_INF, 0),
        instruction("S_ADD_FP", SUM, 0, 0),
        instruction("S_ADD_INT", token, 0, 0),
        instruction("S_ADD_INT", offset, 0, 0),
        *(first * shape.chunks),
        instruction("S_ADDI_INT", address, base, 0),
        *(second * shape.chunks),
        instruction("S_RECI_FP", SUM, SUM),
        instruction("S_ST_FP", SUM, confidences),
        instruction("S_ST_INT", token, tokens),
        instruction("S_ADDI_INT", confidences, confidences, 1),
        instruction("S_ADDI_INT", tokens, tokens, 1),
        instruction("S_ADDI_INT", base, address, 0),
        instruction("C_LOOP_END", loop),
    ]


def _transfer(shape: Shape, row: int) -> list[Instruction]:
    """Top-k of one batch row: x0 = mask ? x0 : x, then x = transfer ? x0 : x."""
    transfer, mask, confidence, x, x0, k = range(1, 7)
    return [
        instruction("C_PHASE", TRANSFER),
        *_constant(confidence, (2 * shape.batch + row) * shape.vlen),
        instruction("S_MAP_V_FP", confidence, 0, 0, LENGTH),
        instruction("S_LD_INT", k, K_ADDRESS),
        *_constant(mask, (shape.batch + row) * shape.vlen),
        *_constant(transfer, row * shape.vlen),
        instruction("V_TOPK_MASK", transfer, confidence, mask, k, LENGTH),
        *_constant(x, row * shape.length),
        *_constant(x0, (shape.batch + row) * shape.length),
        instruction("S_SELECT_INT", x0, x0, x, mask, LENGTH),
        instruction("S_SELECT_INT", x, x0, x, transfer, LENGTH),
    ]


def _header(shape: Shape, steps: int) -> Header:
    words = shape.batch * shape.length
    commits = [shape.length // steps + (step < shape.length % steps) for step in range(steps)]
    scale_bytes = shape.code_bytes // 32
    return Header(
        name="d-plena-sampler",
        model={"vocab": shape.vocab},
        schedule={"name": "sampler", "batch": shape.batch, "length": shape.length, "steps": steps},
        requires={"core.vlen": shape.vlen},
        formats={"vector_hbm": "mxfp8"},
        block=shape.length,
        phases=PHASES,
        int_mem=(tuple([MASK_TOKEN] * words + [0] * words + commits),),
        regions=(
            {"name": "logits and masks", "base": 0, "bytes": shape.code_bytes},
            {"name": "scales", "base": shape.code_bytes, "bytes": scale_bytes},
        ),
        notes=("logits and position masks are inputs; lanes beyond the vocabulary hold the most negative number",),
    )
