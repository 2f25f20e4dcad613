"""Where a sampling phase finds its logits, masks and tokens, and what it may overwrite."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from archsim.errors import WorkloadError
from archsim.isa.formats import FORMATS
from workloads.lowering.emit.builder import Count
from workloads.lowering.sampling_variant import GREEDY, SamplingVariant

COPIED = ("margin", "entropy", "stability")
"""Scores for which a row's logits are held twice."""
MODES = ("spill", "rows", "onchip", "edge")


@attrs.frozen(kw_only=True)
class SamplingPlan:
    """Everything `emit_sampling` must know. Vector SRAM places are vector indices, not addresses.

    rows          block rows of each sequence; a row is one position
    greedy        autoregressive decoding: only the argmax, no confidences and no transfer
    buffer        first vector for logits (onchip: where they are), `buffer_vectors` of them
    group_rows    spill: rows per load, see `rows_per_load`
    masks         vectors of position masks, one per sequence: 1.0 where still masked
    confidence    a vector for the confidences; `transfer` one for the chosen positions
    fp_base       FP_MEM scratch, `rows` words
    x0            INT_MEM words of the sampled tokens, [sequence][row]
    x_register    gp that holds the INT_MEM address of sequence 0's first block token
    x_pitch       INT_MEM words from one sequence's tokens to the next one's
    k_register    gp that holds how many positions of each sequence take their token
    hbm           a register of the logits; `hbm_offset` elements from there to the first
    pitch         chunks from one sequence's logits to the next one's, where those are not all of the vocabulary
    scalars       f registers that may be overwritten: 5, or 7 where the score is no confidence
    sampled       rows that are sampled, and pairs of them: words where forwards that share code have different
    pairs         numbers of them, all of masked positions; then `rows` is the most, and mode spill loads single rows
    gap_rows      rows whose two largest logits are compared as well
    score         what rows are chosen by: confidence, margin, entropy or random; or likelihood, see `likelihood`
    variant       noise, top-p and how many rows are chosen; `score` and `mode` say the rest of it already
    constants     first FP_MEM word of its constants
    draws         INT_MEM word that counts random draws
    previous      a register of the previous forward's logits, placed as these; -1: none to compare with
    precision     precision operand of the logits' transfers
    choose        emits what puts other scores into the vector of confidences; None: the scores are the rows' own
    """

    sequences: int
    rows: int
    vocab: int
    vlen: int
    mode: str = "spill"
    greedy: bool = False
    buffer: int
    buffer_vectors: int
    group_rows: int = 1
    masks: int = 0
    confidence: int = 0
    transfer: int = 0
    fp_base: int = 0
    x0: int = 0
    x_register: int = 0
    x_pitch: int = 0
    k_register: int = 0
    hbm: int = 0
    hbm_offset: int = 0
    pitch: int = 0
    scalars: tuple[int, ...] = (1, 2, 3, 4, 5)
    sampled: Count | None = None
    pairs: Count | None = None
    gap_rows: int = 0
    score: str = "confidence"
    variant: SamplingVariant = GREEDY
    constants: int = 0
    draws: int = 0
    previous: int = -1
    precision: int = FORMATS["mxfp8"].code
    choose: Callable[[SamplingPlan], None] | None = None

    @property
    def chunks(self) -> int:
        """Vectors that hold one row's logits."""
        return -(-self.vocab // self.vlen)

    @property
    def last_lanes(self) -> int:
        """Valid lanes of a row's last chunk, 0 where all are."""
        return self.vocab % self.vlen

    @property
    def copied(self) -> bool:
        """Whether a row's logits are held twice while it is worked on."""
        return self.drawn or self.score in COPIED

    @property
    def parts(self) -> int:
        """Parts of a row that are held: two of which one is loaded, copies, two of the previous logits."""
        return 4 if self.score == "stability" else 2 + self.copied

    @property
    def drawn(self) -> bool:
        """Whether tokens are more than the argmax of the logits, or chosen among some of them only."""
        return self.variant.noisy or self.variant.top_p < 1

    @property
    def summed(self) -> bool:
        """Whether a row's exponentials are needed."""
        return not self.greedy and self.score != "random"

    @property
    def zeros(self) -> int:
        """A vector of zeros, behind all buffers."""
        return self.buffer + 3 * self.chunks

    @property
    def special(self) -> str:
        """What takes more than the maximum and the sum of a row, in words."""
        if self.drawn:
            return "tokens drawn by chance" if self.variant.noisy else "top-p"
        return "comparing two logits" if self.gap_rows else f"rows by {self.score}"

    @property
    def part(self) -> int:
        """Chunks that are worked on at once, where rows are loaded one by one; a copy of them lies behind two parts."""
        return self.chunks if self.mode == "rows" else self.buffer_vectors // self.parts

    @property
    def row_count(self) -> Count:
        """Rows to be sampled."""
        return self.rows if self.sampled is None else self.sampled

    def offset(self, sequence: int, row: int) -> int:
        """HBM element offset of the first chunk of a row."""
        return self.hbm_offset + (sequence * (self.pitch or self.chunks) * self.rows + row) * self.vlen

    def check(self) -> None:
        """Raise WorkloadError where the plan has no mode of ours or too little room."""
        needed = {
            "rows": self.parts * self.chunks + (self.variant.top_p < 1),
            "spill": 2 * self.group_rows * self.chunks,
            "onchip": self.sequences * self.rows * self.chunks,
            "edge": self.parts,
        }
        if self.mode not in needed:
            raise WorkloadError(f"sampling mode: {self.mode!r}; expected one of {', '.join(MODES)}")
        alone = self.drawn or self.gap_rows or self.score == "stability"
        if (self.copied and self.mode == "onchip") or (alone and self.mode != "rows"):
            raise WorkloadError(f"sampling, {self.mode}: {self.special}; expected logits spilled, and two rows to fit")
        if self.buffer_vectors < needed[self.mode]:
            found = f"sampling, {self.mode}: {self.buffer_vectors} vectors for logits"
            raise WorkloadError(f"{found}; expected at least {needed[self.mode]}")
        if self.rows > self.vlen and not self.greedy:
            raise WorkloadError(f"sampling: {self.rows} block rows; expected at most VLEN = {self.vlen}")


def rows_per_load(rows: int, chunks: int, vectors: int) -> int:
    """Largest number of rows of which two groups fit into `vectors`, evened out over the groups; 0: none fits."""
    most = min(rows, vectors // (2 * chunks))
    return -(-rows // -(-rows // most)) if most else 0
