"""Where a sampling phase finds its logits, masks and tokens, and what it may overwrite."""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError

MODES = ("spill", "onchip", "edge")


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
    scalars       f registers that may be overwritten: 5
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
    scalars: tuple[int, ...] = (1, 2, 3, 4, 5)

    @property
    def chunks(self) -> int:
        """Vectors that hold one row's logits."""
        return -(-self.vocab // self.vlen)

    @property
    def last_lanes(self) -> int:
        """Valid lanes of a row's last chunk, 0 where all are."""
        return self.vocab % self.vlen

    def offset(self, sequence: int, row: int) -> int:
        """HBM element offset of the first chunk of a row."""
        return self.hbm_offset + (sequence * self.chunks * self.rows + row) * self.vlen

    def check(self) -> None:
        """Raise WorkloadError where the plan has no mode of ours or too little room."""
        needed = {
            "spill": 2 * self.group_rows * self.chunks,
            "onchip": self.sequences * self.rows * self.chunks,
            "edge": 2,
        }
        if self.mode not in needed:
            raise WorkloadError(f"sampling mode: {self.mode!r}; expected one of {', '.join(MODES)}")
        if self.buffer_vectors < needed[self.mode]:
            found = f"sampling, {self.mode}: {self.buffer_vectors} vectors for logits"
            raise WorkloadError(f"{found}; expected at least {needed[self.mode]}")
        if self.rows > self.vlen and not self.greedy:
            raise WorkloadError(f"sampling: {self.rows} block rows; expected at most VLEN = {self.vlen}")


def rows_per_load(rows: int, chunks: int, vectors: int) -> int:
    """Largest number of rows of which two groups fit into `vectors`, evened out over the groups; 0: none fits."""
    most = min(rows, vectors // (2 * chunks))
    return -(-rows // -(-rows // most)) if most else 0
