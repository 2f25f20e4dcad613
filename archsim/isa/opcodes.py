"""The one opcode table. Assembler, encoder, reference page, costs and footprints derive from it.

Mnemonics, operand order, codes and costs of the base rows are those of the public PLENA / d-PLENA
instruction set (AICrossSim repositories; arXiv 2601.20706); rows under prefix 0x3F are archsim's
own extensions. Columns:

operands   ">rd" writes the register, "+rd" reads and writes it; see `operands.parse_operands`
unit       which queue the instruction waits in ("front": executed by the front end itself)
cost       "latency/interval" cycles, one interval per row or tile; see `timing.cost.parse_cost`
touches    memory footprint, words of the form mode+space:register:shape; see `footprint`
           spaces V Vector SRAM, M Matrix SRAM, F FP_MEM, I INT_MEM, H HBM, S KV engine scales
semantics  the function in `archsim.isa.semantics` that computes its values, "module.name"; see `semantics.step`
meaning    one line
"""

from __future__ import annotations

import attrs

from archsim.isa.operands import Operand, parse_operands

PREFIX = 0x3F
"""Primary opcode of every archsim extension; a 6-bit function follows it."""
PAGE_BITS = 12
"""C_SET_ADDR_PAGE and C_SET_SCALE_PAGE count in pages of 4 KiB: so bases move by the same amount from layer to layer,
also across 4 GiB."""

UNITS = ("front", "scalar", "vector", "tensor", "kv", "dma", "net")


@attrs.frozen
class Opcode:
    """One row: everything about an instruction that is not a number of the machine."""

    mnemonic: str
    code: int
    function: int | None
    operands: tuple[Operand, ...]
    unit: str
    cost: str
    touches: str
    semantics: str
    meaning: str

    @property
    def is_extension(self) -> bool:
        """Whether the opcode is archsim's own, under the prefix."""
        return self.function is not None


_BASE = [
    # mnemonic, code, operands, unit, cost, touches, semantics, meaning
    ("M_MM", 0x01, "rs1:gp rs2:gp", "tensor", "blen/blen", "rM:rs1:weight rV:rs2:tile", "tensor.multiply", "acc += Vector[rs2] @ Matrix[rs1], BLEN x MLEN by MLEN x BLEN"),
    ("M_TMM", 0x02, "rs1:gp rs2:gp", "tensor", "blen/blen", "rV:rs1:tile rM:rs2:weight", "tensor.multiply_transposed", "acc += Vector[rs1] @ Matrix[rs2] transposed"),
    ("M_BMM", 0x03, "rs1:gp rs2:gp", "tensor", "blen/blen", "rM:rs1:kv rV:rs2:tile", "tensor.batched_outputs", "per packed head: acc += Vector[rs2] @ Matrix[rs1] (P.V)"),
    ("M_BTMM", 0x04, "rs1:gp rs2:gp", "tensor", "blen/blen", "rM:rs1:kv rV:rs2:tile", "tensor.batched_scores", "per packed head: acc += Vector[rs2] @ Matrix[rs1] transposed (Q.K)"),
    ("M_BMM_WO", 0x05, "rd:gp imm", "tensor", "blen+6/1", "wV:rd:block", "tensor.drain_packed", "write the packed-head accumulator to Vector[rd+imm] and clear it"),
    ("M_MM_WO", 0x06, "rd:gp rs1:gp imm=0", "tensor", "blen+6/1", "wV:rd:block", "tensor.drain", "write the BLEN x BLEN accumulator to Vector[rd+imm] and clear it"),
    ("M_MV", 0x07, "rs1:gp rs2:gp", "tensor", "blen+9/blen+1", "rV:rs1:one rM:rs2:weight", "tensor.row_multiply", "acc row += Vector[rs1] @ Matrix[rs2]"),
    ("M_TMV", 0x08, "rs1:gp rs2:gp", "tensor", "blen+9/blen+1", "rV:rs1:one rM:rs2:weight", "tensor.row_multiply_transposed", "acc row += Vector[rs1] @ Matrix[rs2] transposed"),
    ("M_BMV", 0x09, "rs1:gp rs2:gp", "tensor", "blen+9/blen+1", "rV:rs1:one rM:rs2:kv", "tensor.row_outputs", "per packed head M_MV"),
    ("M_BTMV", 0x0A, "rs1:gp rs2:gp", "tensor", "blen+9/blen+1", "rV:rs1:one rM:rs2:kv", "tensor.row_scores", "per packed head M_TMV"),
    ("M_MV_WO", 0x0B, "rd:gp imm", "tensor", "mlen+6/1", "wV:rd:one", "tensor.drain_row", "write the accumulator row to Vector[rd+imm] and clear it"),
    ("M_BMV_WO", 0x0C, "rd:gp imm", "tensor", "mlen+6/1", "wV:rd:one", "tensor.drain_packed_row", "write the packed accumulator row and clear it"),
    ("V_ADD_VV", 0x0D, "rd:gp rs1:gp rs2:gp rmask:flag=0", "vector", "2", "rV:rs1:rows rV:rs2:rows2 wV:rd:rows", "vector.add", "Vector[rd] = Vector[rs1] + Vector[rs2]"),
    ("V_ADD_VF", 0x0E, "rd:gp rs1:gp fs2:f rmask:flag=0", "vector", "2", "rV:rs1:rows wV:rd:rows", "vector.add_scalar", "Vector[rd] = Vector[rs1] + fs2"),
    ("V_SUB_VV", 0x0F, "rd:gp rs1:gp rs2:gp rmask:flag=0", "vector", "2", "rV:rs1:rows rV:rs2:rows2 wV:rd:rows", "vector.subtract", "Vector[rd] = Vector[rs1] - Vector[rs2]"),
    ("V_SUB_VF", 0x10, "rd:gp rs1:gp fs2:f rmask:flag=0 rorder:flag=0", "vector", "2", "rV:rs1:rows wV:rd:rows", "vector.subtract_scalar", "Vector[rd] = Vector[rs1] - fs2, reversed where rorder is 1"),
    ("V_MUL_VV", 0x11, "rd:gp rs1:gp rs2:gp rmask:flag=0", "vector", "2", "rV:rs1:rows rV:rs2:rows2 wV:rd:rows", "vector.multiply", "Vector[rd] = Vector[rs1] * Vector[rs2]"),
    ("V_MUL_VF", 0x12, "rd:gp rs1:gp fs2:f rmask:flag=0", "vector", "2", "rV:rs1:rows wV:rd:rows", "vector.multiply_scalar", "Vector[rd] = Vector[rs1] * fs2"),
    ("V_EXP_V", 0x13, "rd:gp rs1:gp rmask:flag=0", "vector", "1", "rV:rs1:rows wV:rd:rows", "vector.exponential", "Vector[rd] = exp(Vector[rs1])"),
    ("V_RECI_V", 0x14, "rd:gp rs1:gp rmask:flag=0", "vector", "2", "rV:rs1:rows wV:rd:rows", "vector.reciprocal", "Vector[rd] = 1 / Vector[rs1]"),
    ("V_RED_SUM", 0x15, "+fd:f rs1:gp rmask:flag=0 imm=0", "vector", "8", "rV:rs1:rows", "reduce.total", "fd += sum of Vector[rs1], over all rows"),
    ("V_RED_MAX", 0x16, "+fd:f rs1:gp imm=0", "vector", "4", "rV:rs1:rows", "reduce.largest", "fd = max(fd, Vector[rs1]), over all rows"),
    ("S_ADD_FP", 0x17, ">fd:f fs1:f fs2:f", "scalar", "1", "", "scalar.add", "fd = fs1 + fs2"),
    ("S_SUB_FP", 0x18, ">fd:f fs1:f fs2:f", "scalar", "1", "", "scalar.subtract", "fd = fs1 - fs2"),
    ("S_MAX_FP", 0x19, ">fd:f fs1:f fs2:f", "scalar", "1", "", "scalar.maximum", "fd = max(fs1, fs2)"),
    ("S_MUL_FP", 0x1A, ">fd:f fs1:f fs2:f", "scalar", "1", "", "scalar.multiply", "fd = fs1 * fs2"),
    ("S_EXP_FP", 0x1B, ">fd:f fs1:f imm=0", "scalar", "1", "", "scalar.exponential", "fd = exp(fs1)"),
    ("S_RECI_FP", 0x1C, ">fd:f fs1:f imm=0", "scalar", "1", "", "scalar.reciprocal", "fd = 1 / fs1"),
    ("S_SQRT_FP", 0x1D, ">fd:f fs1:f imm=0", "scalar", "1", "", "scalar.root", "fd = square root of fs1"),
    ("S_LD_FP", 0x1E, ">fd:f rs1:gp imm=0", "scalar", "1", "rF:rs1:word", "scalar.load", "fd = FP_MEM[rs1+imm]"),
    ("S_ST_FP", 0x1F, "fd:f rs1:gp imm=0", "scalar", "1", "wF:rs1:word", "scalar.store", "FP_MEM[rs1+imm] = fd"),
    ("S_MAP_V_FP", 0x20, "rd:gp rs1:gp off:flag=0 rlen:gp=0", "scalar", "len", "rF:rs1:len wV:rd:one", "scalar.map_vector", "Vector[rd][i] = FP_MEM[rs1+off+i] for i < rlen (VLEN where rlen is gp0)"),
    ("S_ADD_INT", 0x21, ">rd:gp rs1:gp rs2:gp", "front", "1", "", "front.add", "rd = rs1 + rs2"),
    ("S_ADDI_INT", 0x22, ">rd:gp rs1:gp imm", "front", "1", "", "front.add", "rd = rs1 + imm"),
    ("S_SUB_INT", 0x23, ">rd:gp rs1:gp rs2:gp", "front", "1", "", "front.subtract", "rd = rs1 - rs2"),
    ("S_MUL_INT", 0x24, ">rd:gp rs1:gp rs2:gp", "front", "1", "", "front.multiply", "rd = rs1 * rs2"),
    ("S_LUI_INT", 0x25, ">rd:gp imm", "front", "1", "", "front.load_upper", "rd = imm << 12"),
    ("S_LD_INT", 0x26, ">rd:gp rs1:gp imm=0", "front", "1", "rI:rs1:word", "front.load_int", "rd = INT_MEM[rs1+imm]"),
    ("S_ST_INT", 0x27, "rd:gp rs1:gp imm=0", "scalar", "1", "wI:rs1:word", "scalar.store_int", "INT_MEM[rs1+imm] = rd"),
    ("H_PREFETCH_M", 0x28, "rd:gp rs1:gp rs2:a rstride:flag=0 precision:flag=0", "dma", "0", "rH:rs1:fetch_m wM:rd:fetch_m", "transfer.prefetch_matrix", "Matrix[rd] = HBM tiles at a + rs1"),
    ("H_PREFETCH_V", 0x29, "rd:gp rs1:gp rs2:a rstride:flag=0 precision:flag=0", "dma", "0", "rH:rs1:fetch_v wV:rd:fetch_v", "transfer.prefetch_vectors", "Vector[rd] = HBM rows at a + rs1"),
    ("H_STORE_V", 0x2A, "rd:gp rs1:gp rs2:a rstride:flag=0 precision:flag=0", "dma", "0", "rV:rd:store_v wH:rs1:store_v", "transfer.store_vectors", "HBM rows at a + rs1 = Vector[rd], quantised"),
    ("C_SET_ADDR_REG", 0x2B, ">rd:a rs1:gp rs2:gp", "front", "1", "", "front.set_address", "a = rs1 * 2^32 + rs2, in bytes"),
    ("C_SET_SCALE_REG", 0x2C, "rd:gp", "front", "1", "", "front.set_scale", "scale region starts rd bytes after the base"),
    ("C_SET_STRIDE_REG", 0x2D, "rd:gp", "front", "1", "", "front.set_stride", "HBM pitch of strided transfers, in elements"),
    ("C_SET_V_MASK_REG", 0x2E, "rd:gp", "front", "1", "", "front.set_mask", "lane mask of vector instructions with rmask = 1: bit i for segment i of HLEN lanes"),
    ("C_LOOP_START", 0x2F, ">rd:gp imm", "front", "1", "", "front.loop_start", "begin a loop of imm trips; rd counts down"),
    ("C_LOOP_END", 0x30, "+rd:gp", "front", "1", "", "front.loop_end", "end of the loop that counts in rd"),
    ("V_PS_V", 0x31, "rd:gp rs1:gp rmask:flag=0", "vector", "9", "rV:rs1:rows wV:rd:rows", "reduce.prefix_sums", "Vector[rd] = prefix sums of Vector[rs1]"),
    ("V_SHFT_V", 0x32, "rd:gp rs1:gp rs2:gp", "vector", "1", "rV:rs1:rows wV:rd:rows", "vector.shift", "Vector[rd] = Vector[rs1] moved up by rs2 lanes, zeros coming in"),
    ("C_HADAMARD_TRANSFORM", 0x33, "rd:gp rs1:gp rmask:flag=0", "vector", "log2_mlen+1", "rV:rs1:rows wV:rd:rows", "vector.hadamard", "Vector[rd] = Hadamard transform of Vector[rs1], per segment"),
    ("V_RED_MAX_IDX", 0x34, "+rd:gp rs1:gp rs2:gp +fs3:f", "vector", "4", "rV:rs1:rows", "reduce.arg_largest", "running max and argmax: where max of Vector[rs1] > fs3, fs3 = max and rd = rs2 + lane"),
    ("V_SELECT_VVM", 0x35, "rd:gp rs1:gp rs2:gp rs3:gp", "vector", "2", "rV:rs1:rows rV:rs2:rows2 rV:rs3:one wV:rd:rows", "vector.select", "Vector[rd] = Vector[rs3] != 0 ? Vector[rs1] : Vector[rs2]"),
    ("V_TOPK_MASK", 0x36, "rd:gp rs1:gp rs2:gp k:gp rlen:gp=0", "vector", "3*len", "rV:rs1:one rV:rs2:one wV:rd:one", "vector.top_k", "1.0 at the top k of Vector[rs1] where Vector[rs2] != 0, first rlen lanes"),
    ("S_SELECT_INT", 0x37, "rd:gp rs1:gp rs2:gp rs3:gp rlen:gp", "scalar", "len", "rI:rs1:len rI:rs2:len rV:rs3:one wI:rd:len", "scalar.select_int", "INT[rd+i] = Vector[rs3][i] != 0 ? INT[rs1+i] : INT[rs2+i]"),
    ("C_BREAK", 0x38, "", "front", "1", "", "front.nothing", "end of the program"),
]

_EXTENSIONS = [
    # mnemonic, function, operands, unit, cost, touches, semantics, meaning
    ("C_LOOP_START_R", 0x00, ">rd:gp rs1:gp", "front", "1", "", "front.loop_start", "begin a loop of rs1 trips; 0 skips the body"),
    ("C_SET_V_ROWS", 0x01, "rs1:gp rs2:gp rs3:gp", "front", "1", "", "front.set_rows", "rows per vector instruction; vectors from row to row of rd/rs1 (rs2) and of rs2 (rs3)"),
    ("C_SET_V_LANES", 0x02, "rs1:gp rs2:gp", "front", "1", "", "front.set_lanes", "valid lanes (0: all) of every row, or of the last row where rs2 is not 0; others are -inf to max, 0 to sum"),
    ("C_SET_V_SEG", 0x03, "rs1:gp", "front", "1", "", "front.set_segment", "lanes per segment of V_*_SEG and C_HADAMARD_TRANSFORM (reset value HLEN)"),
    ("C_SET_M_ROWS", 0x04, "rs1:gp", "front", "1", "", "front.set_tile_rows", "rows of a tensor tile, 1..BLEN; others read as zero and are not written"),
    ("C_SET_M_TILES", 0x05, "rs1:gp rs2:gp", "front", "1", "", "front.set_tiles", "tiles per M_ instruction along the reduction; vectors from tile to tile of the vector operand"),
    ("C_SET_M_FETCH", 0x06, "rs1:gp rs2:gp", "front", "1", "", "front.set_fetch", "tiles per H_PREFETCH_M and elements per tile (0: MLEN x BLEN)"),
    ("C_SET_H_ROWS", 0x07, "rs1:gp rs2:gp rs3:gp", "front", "1", "", "front.set_transfer", "rows of H_PREFETCH_V, H_STORE_V, H_GATHER_V (0: the machine's amounts), elements per row (0: VLEN), vectors from column block to column block on chip (0: rows)"),
    ("C_SET_M_GROUP", 0x08, "rs1:gp rs2:gp", "front", "1", "", "front.set_group", "query heads per KV head and index of the first query head of packed M_B* tiles"),
    ("C_PHASE", 0x09, "imm", "front", "0", "", "front.nothing", "phase marker: instructions from here on belong to phase imm of the header's table"),
    ("C_BARRIER", 0x0A, "rs1:gp rs2:gp", "front", "1", "", "front.nothing", "wait until rs2 cores have reached barrier rs1"),
    ("C_WAIT_IDLE", 0x0B, "", "front", "1", "", "front.nothing", "wait until every instruction before it has retired"),
    ("C_SET_ADDR_PAGE", 0x0C, ">rd:a rs1:gp", "front", "1", "", "front.set_address_page", "a = rs1 * 4096, in bytes: bases beyond 4 GiB that move evenly, layer by layer"),
    ("C_SET_SCALE_PAGE", 0x0D, "rs1:gp", "front", "1", "", "front.set_scale_page", "scale region starts rs1 * 4096 bytes after the base, so that it can lie beyond 4 GiB"),
    ("V_RED_MAX_SEG", 0x10, "rd:gp rs1:gp acc:flag=0", "vector", "4", "rV:rs1:rows wV:rd:stats", "reduce.segment_largest", "packed statistics at Vector[rd]: max of each segment of each row (acc: with the value there)"),
    ("V_RED_SUM_SEG", 0x11, "rd:gp rs1:gp acc:flag=0", "vector", "8", "rV:rs1:rows wV:rd:stats", "reduce.segment_total", "packed statistics at Vector[rd]: sum of each segment of each row (acc: added to the value there)"),
    ("V_SUB_SEG", 0x12, "rd:gp rs1:gp rs2:gp", "vector", "2", "rV:rs1:rows rV:rs2:stats wV:rd:rows", "reduce.segment_subtract", "subtract each segment's statistic"),
    ("V_MUL_SEG", 0x13, "rd:gp rs1:gp rs2:gp", "vector", "2", "rV:rs1:rows rV:rs2:stats wV:rd:rows", "reduce.segment_multiply", "multiply by each segment's statistic"),
    ("V_MAX_VV", 0x14, "rd:gp rs1:gp rs2:gp rmask:flag=0", "vector", "2", "rV:rs1:rows rV:rs2:rows2 wV:rd:rows", "vector.maximum", "Vector[rd] = elementwise max"),
    ("V_ROT_SEG", 0x15, "rd:gp rs1:gp", "vector", "1", "rV:rs1:rows wV:rd:rows", "reduce.rotate_half", "rotate-half of each HLEN segment: (-second half, first half), for RoPE"),
    ("V_RSQRT_V", 0x16, "rd:gp rs1:gp rmask:flag=0", "vector", "2", "rV:rs1:rows wV:rd:rows", "vector.inverse_root", "Vector[rd] = 1 / square root of Vector[rs1]"),
    ("V_GUMBEL_V", 0x18, "rd:gp rs1:gp", "vector", "2", "wV:rd:rows", "random.gumbel", "Vector[rd] = draws from the standard Gumbel distribution, a function of the number in rs1, of row and lane"),
    ("H_GATHER_V", 0x20, "rd:gp rs1:gp rs2:a precision:flag=2", "dma", "0", "rI:rs1:gather rH:rs1:gather wV:rd:gather", "transfer.gather", "Vector rows at rd = table rows of the ids at INT_MEM[rs1..], count and width as C_SET_H_ROWS"),
    ("N_PUT", 0x21, "rd:gp rs1:gp rs2:gp add:flag=0", "net", "0", "rV:rs1:rows", "transfer.put", "rows of Vector[rs1] to Vector[rd] of core rs2 (add: added on arrival); counts one receipt there"),
    ("N_WAIT", 0x22, "rs1:gp", "front", "1", "", "front.nothing", "wait for rs1 receipts since the last N_WAIT"),
    ("K_CALIB", 0x28, "rs1:gp rs2:gp first:flag=0", "kv", "1", "rV:rs1:rows wS:rs2:slot", "kv.calibrate", "running per-channel absmax of rows into scale slot rs2 (first: start anew)"),
    ("K_STORE", 0x29, "rs1:gp rs2:gp rs3:a rs4:gp scheme:flag=2", "kv", "1", "rV:rs2:rows rS:rs4:slot wH:rs1:kv_rows", "kv.store_rows", "quantise rows at Vector[rs2] by scale slot rs4 (0 none, 1 round to nearest, 2 smoothed, 3 scales by channel) and store at a + rs1"),
    ("K_FOLD", 0x2A, "rd:gp rs1:gp rs2:gp", "kv", "1", "rV:rs1:rows rS:rs2:slot wV:rd:rows", "kv.fold", "Vector[rd] = Vector[rs1] times the scales of slot rs2"),
]


def _build() -> dict[str, Opcode]:
    rows: list[tuple[str, int, int | None, list[str]]] = [(name, code, None, rest) for name, code, *rest in _BASE]
    rows += [(name, PREFIX, function, rest) for name, function, *rest in _EXTENSIONS]
    table: dict[str, Opcode] = {}
    for mnemonic, code, function, (operands, *rest) in rows:
        bits = 26 if function is None else 20
        table[mnemonic] = Opcode(mnemonic, code, function, parse_operands(operands, bits), *rest)
    if len(table) < len(rows) or len({(code, function) for _, code, function, *_ in rows}) < len(rows):
        raise ValueError("opcode table: a mnemonic or a code is repeated")
    return table


OPCODES: dict[str, Opcode] = _build()
"""Every opcode by mnemonic, in table order."""

BY_CODE: dict[tuple[int, int | None], Opcode] = {(op.code, op.function): op for op in OPCODES.values()}
"""Every opcode by (primary code, function under the prefix or None)."""
