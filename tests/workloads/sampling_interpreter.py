"""Values of the instructions that sampling uses, in float64 and without a clock: the oracle of its tests.

It shares no semantics with archsim's own interpreter (drawn numbers apart), and checks what that cannot: scores to
twelve digits, as nothing is rounded on the way; how often instructions run; and that no NaN, which stands for a lane
that was never written, takes part in an argmax, a selection or a choice. Chips of any VLEN need no machine file. Whole
programs go through archsim's interpreter in `test_tiny_tokens` and `test_policy_values`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from archsim.isa.loops import match_loops
from archsim.isa.program import Program
from archsim.isa.semantics.random import draws


class Interpreter:
    """Runs a program; `hbm` is an array of element values that starts at byte 0."""

    def __init__(self, vlen: int, vectors: int, hbm: np.ndarray, words: int = 4096) -> None:
        self.vlen, self.hbm = vlen, hbm
        self.others: dict[int, np.ndarray] = {}
        """What other address registers than that of the logits point at."""
        self.vectors = np.full(vectors * vlen, np.nan)
        self.fp = np.full(words, np.nan)
        self.ints = np.zeros(words, dtype=np.int64)
        self.gp, self.f = [0] * 16, [0.0] * 8
        self.rows, self.pitch, self.pitch2 = 1, 1, 1
        self.lanes, self.last_only = 0, False
        self.h_rows, self.h_width, self.h_pitch, self.stride = 0, 0, 0, 0
        self.executed: Counter[str] = Counter()

    def run(self, program: Program) -> None:
        if program.header.int_mem:
            image = program.header.int_mem[0]
            self.ints[: len(image)] = image
        code, ends, loops, pc = program.instructions, match_loops(program.instructions), [], 0
        while pc < len(code):
            mnemonic, v = code[pc].opcode.mnemonic, code[pc].values
            self.executed[mnemonic] += 1
            if mnemonic == "C_LOOP_START":
                loops.append([pc, v[1]])
                assert pc in ends
            elif mnemonic == "C_LOOP_END":
                loops[-1][1] -= 1
                if loops[-1][1]:
                    pc = loops[-1][0]
                else:
                    loops.pop()
            elif mnemonic not in ("C_PHASE", "C_SET_ADDR_REG", "C_SET_SCALE_REG"):
                handler: Callable[..., None] = getattr(self, mnemonic.lower())
                handler(*v)
            self.gp[0], self.f[0] = 0, 0.0
            pc += 1

    def _spans(self, register: int, pitch: int | None = None) -> list[slice]:
        start = self.gp[register]
        assert start % self.vlen == 0
        step = self.pitch if pitch is None else pitch
        places = [start + row * step * self.vlen for row in range(self.rows)]
        return [slice(place, place + self.vlen) for place in places]

    def _valid(self, row: int) -> int:
        cut = self.lanes and (not self.last_only or row == self.rows - 1)
        return self.lanes if cut else self.vlen

    # -- front end
    def s_addi_int(self, rd, rs1, imm): self.gp[rd] = self.gp[rs1] + imm
    def s_add_int(self, rd, rs1, rs2): self.gp[rd] = self.gp[rs1] + self.gp[rs2]
    def s_lui_int(self, rd, imm): self.gp[rd] = imm << 12
    def s_ld_int(self, rd, rs1, imm): self.gp[rd] = int(self.ints[self.gp[rs1] + imm])
    def c_set_v_rows(self, *r): self.rows, self.pitch, self.pitch2 = (self.gp[x] for x in r)
    def c_set_v_lanes(self, a, b): self.lanes, self.last_only = self.gp[a], bool(self.gp[b])
    def c_set_h_rows(self, *r): self.h_rows, self.h_width, self.h_pitch = (self.gp[x] for x in r)
    def c_set_stride_reg(self, a): self.stride = self.gp[a]

    # -- scalar unit
    def s_add_fp(self, fd, a, b): self.f[fd] = self.f[a] + self.f[b]
    def s_sub_fp(self, fd, a, b): self.f[fd] = self.f[a] - self.f[b]
    def s_mul_fp(self, fd, a, b): self.f[fd] = self.f[a] * self.f[b]
    def s_max_fp(self, fd, a, b): self.f[fd] = max(self.f[a], self.f[b])
    def s_exp_fp(self, fd, a, _): self.f[fd] = float(np.exp(self.f[a]))
    def s_reci_fp(self, fd, a, _): self.f[fd] = 1 / self.f[a] if self.f[a] else float("inf")
    def s_ld_fp(self, fd, rs1, imm): self.f[fd] = float(self.fp[self.gp[rs1] + imm])
    def s_st_fp(self, fd, rs1, imm): self.fp[self.gp[rs1] + imm] = self.f[fd]
    def s_st_int(self, rd, rs1, imm): self.ints[self.gp[rs1] + imm] = self.gp[rd]

    def s_map_v_fp(self, rd, rs1, off, rlen):
        count, low = self.gp[rlen], self.gp[rs1] + off
        self.vectors[self.gp[rd] : self.gp[rd] + count] = self.fp[low : low + count]

    def s_select_int(self, rd, rs1, rs2, rs3, rlen):
        d, a, b, m = (self.gp[x] for x in (rd, rs1, rs2, rs3))
        n = self.gp[rlen]
        mask = self.vectors[m : m + n]
        assert not np.isnan(mask).any()
        self.ints[d : d + n] = np.where(mask != 0, self.ints[a : a + n], self.ints[b : b + n])

    # -- vector unit
    def v_red_max_idx(self, rd, rs1, rs2, fs3):
        for row, span in enumerate(self._spans(rs1)):
            values = self.vectors[span][: self._valid(row)]
            assert not np.isnan(values).any()
            lane = int(values.argmax())
            if values[lane] > self.f[fs3]:
                self.f[fs3], self.gp[rd] = float(values[lane]), self.gp[rs2] + row * self.vlen + lane

    def v_sub_vf(self, rd, rs1, fs2, _mask, order):
        for target, source in zip(self._spans(rd), self._spans(rs1), strict=True):
            difference = self.vectors[source] - self.f[fs2]
            self.vectors[target] = -difference if order else difference

    def _pairs(self, rd, rs1, rs2, operation):
        spans = zip(self._spans(rd), self._spans(rs1), self._spans(rs2, self.pitch2), strict=True)
        for target, a, b in list(spans):
            self.vectors[target] = operation(self.vectors[a], self.vectors[b])

    def v_mul_vv(self, rd, rs1, rs2, _mask): self._pairs(rd, rs1, rs2, np.multiply)
    def v_add_vv(self, rd, rs1, rs2, _mask): self._pairs(rd, rs1, rs2, np.add)
    def v_sub_vv(self, rd, rs1, rs2, _mask): self._pairs(rd, rs1, rs2, np.subtract)
    def v_max_vv(self, rd, rs1, rs2, _mask): self._pairs(rd, rs1, rs2, np.maximum)

    def v_mul_vf(self, rd, rs1, fs2, _mask):
        for target, source in zip(self._spans(rd), self._spans(rs1), strict=True):
            self.vectors[target] = self.vectors[source] * self.f[fs2]

    def v_add_vf(self, rd, rs1, fs2, _mask):
        for target, source in zip(self._spans(rd), self._spans(rs1), strict=True):
            self.vectors[target] = self.vectors[source] + self.f[fs2]

    def v_gumbel_v(self, rd, rs1):
        for target, values in zip(self._spans(rd), draws(self.gp[rs1], self.rows, self.vlen), strict=True):
            self.vectors[target] = values

    def v_shft_v(self, rd, rs1, rs2):
        assert self.gp[rs2] >= self.vlen
        for target in self._spans(rd):
            self.vectors[target] = 0.0

    def v_select_vvm(self, rd, rs1, rs2, rs3):
        chosen = self.vectors[self._spans(rs3, 0)[0]] != 0
        self._pairs(rd, rs1, rs2, lambda a, b: np.where(chosen, a, b))

    def v_reci_v(self, rd, rs1, _mask):
        with np.errstate(divide="ignore"):
            for target, source in zip(self._spans(rd), self._spans(rs1), strict=True):
                self.vectors[target] = 1 / self.vectors[source]

    def v_red_max(self, fd, rs1, _imm):
        for row, span in enumerate(self._spans(rs1)):
            self.f[fd] = max(self.f[fd], float(self.vectors[span][: self._valid(row)].max()))

    def v_exp_v(self, rd, rs1, _mask):
        with np.errstate(over="ignore"):  # in lanes beyond the vocabulary, which nobody reads
            for target, source in zip(self._spans(rd), self._spans(rs1), strict=True):
                self.vectors[target] = np.exp(self.vectors[source])

    def v_red_sum(self, fd, rs1, _mask, _imm):
        for row, span in enumerate(self._spans(rs1)):
            self.f[fd] += float(self.vectors[span][: self._valid(row)].sum())

    def v_topk_mask(self, rd, rs1, rs2, k, rlen):
        n, d, a, m = (self.gp[x] for x in (rlen, rd, rs1, rs2))
        confidence = np.where(self.vectors[m : m + n] != 0, self.vectors[a : a + n], -np.inf)
        assert not np.isnan(confidence).any()
        best = np.argsort(-confidence, kind="stable")[: self.gp[k]]
        result = np.zeros(n)
        result[best] = 1.0
        self.vectors[d : d + n] = result * (self.vectors[m : m + n] != 0)

    # -- DMA
    def h_prefetch_v(self, rd, rs1, base, strided, precision):
        assert precision == 3
        rows, width = self.h_rows or 16, self.h_width or self.vlen
        blocks, pitch = -(-width // self.vlen), self.h_pitch or rows
        for row in range(rows):
            low = self.gp[rs1] + row * (self.stride if strided else width)
            piece = self.others.get(base, self.hbm)[low : low + width]
            for block in range(blocks):
                place = self.gp[rd] + (block * pitch + row) * self.vlen
                self.vectors[place : place + self.vlen] = piece[block * self.vlen : (block + 1) * self.vlen]
