"""Emits instructions: constants, registers, hardware loops, phases, and the state that C_SET_* leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from archsim.errors import WorkloadError
from archsim.isa.opcodes import OPCODES, PAGE_BITS
from archsim.isa.program import Instruction, PhaseInfo, check_value

IMM_BITS = 18
"""Bits of S_ADDI_INT's immediate."""
POOL = (1, 2, 3)
"""Integer registers that hold constants; the rest are handed out by name."""


@attrs.frozen
class Word:
    """A count that the running program finds in INT_MEM, at this address."""

    address: int


Count = int | Word
"""A number that the program contains, or one that it reads."""


class Builder:
    """An instruction stream under construction.

    `const` returns a register that holds a value, loading it only where it is not there already; such a
    register may be overwritten by the next `const`, so at most len(POOL) are good at a time.
    `reg` hands out a register until its block ends. Vector addresses are in elements, as in the ISA.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.phases: list[PhaseInfo] = []
        self._phase_index: dict[PhaseInfo, int] = {}
        self._free = [number for number in range(15, 0, -1) if number not in POOL]
        self._pool = list(POOL)
        self._known: dict[int, int] = {}
        self._sticky: dict[str, tuple[Count, ...]] = {}
        self._made: dict[tuple[str, tuple[int, ...]], Instruction] = {}

    def emit(self, mnemonic: str, *values: int) -> None:
        """Append one instruction; trailing operands with a default may be left out."""
        key = (mnemonic, values)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _instruction(mnemonic, values)
        self.instructions.append(made)
        for operand, value in zip(made.opcode.operands, made.values, strict=True):
            if operand.writes and operand.kind == "gp":
                self._known.pop(value, None)

    def set(self, register: int, value: int) -> None:
        """Make the register hold a non-negative value below 2^32."""
        if self._known.get(register) == value:
            return
        self._load(register, value)
        self._known[register] = value

    def _load(self, register: int, value: int) -> None:
        if not 0 <= value < 1 << 32:
            raise WorkloadError(f"constant {value}: does not fit an integer register; expected 0..2^32-1")
        if value < 1 << IMM_BITS:
            self.emit("S_ADDI_INT", register, 0, value)
            return
        if value % 4096 == 0:
            self.emit("S_LUI_INT", register, value >> 12)
            return
        for other, held in self._known.items():
            if 0 < value - held < 1 << IMM_BITS:
                self.emit("S_ADDI_INT", register, other, value - held)
                return
        self.emit("S_LUI_INT", register, value >> 12)
        self.emit("S_ADDI_INT", register, register, value & 4095)

    def const(self, value: int) -> int:
        """A register that holds the value, good until len(pool) other constants are asked for."""
        if value == 0:
            return 0
        for register in self._pool:
            if self._known.get(register) == value:
                self._touch(register)
                return register
        register = self._pool[0]
        self.set(register, value)
        self._touch(register)
        return register

    def count(self, value: Count) -> int:
        """A register that holds the count, good for as long as one of `const`."""
        if isinstance(value, int):
            return self.const(value)
        register = self._pool[0]
        self.load(register, value.address)
        self._touch(register)
        return register

    def _touch(self, register: int) -> None:
        self._pool.remove(register)
        self._pool.append(register)

    @property
    def spare(self) -> int:
        """Registers that `reg` could hand out."""
        return len(self._free)

    @contextmanager
    def reg(self, value: int | None = None) -> Iterator[int]:
        """A register for the length of a with-block, holding `value` if one is given."""
        if not self._free:
            raise AssertionError("the lowering uses more integer registers than there are")
        register = self._free.pop()
        if value is not None:
            self.set(register, value)
        try:
            yield register
        finally:
            self._free.append(register)

    @contextmanager
    def borrow(self, value: int) -> Iterator[int]:
        """One register of the constant pool, holding `value`, for the length of a with-block."""
        register = self._pool.pop(0)
        self.set(register, value)
        try:
            yield register
        finally:
            self._pool.append(register)

    @contextmanager
    def loop(self, trips: int) -> Iterator[None]:
        """Repeat what the with-block emits; one trip needs no loop."""
        if trips < 1:
            raise AssertionError(f"loop of {trips} trips")
        if trips == 1:
            yield
            return
        with self.reg() as counter:
            self._emit_loop_start(counter, trips)
            self._forget()
            yield
            self.emit("C_LOOP_END", counter)
            self._forget_loop(counter)

    def _emit_loop_start(self, counter: int, trips: int) -> None:
        if trips < 1 << 22:
            self.emit("C_LOOP_START", counter, trips)
        else:
            self.emit("C_LOOP_START_R", counter, self.const(trips))

    @contextmanager
    def loop_word(self, pointer: int, index: int) -> Iterator[None]:
        """Repeat what the with-block emits INT_MEM[INT_MEM[pointer] + index] times, perhaps never."""
        with self.reg() as counter:
            self.load(counter, pointer)
            self.emit("S_LD_INT", counter, counter, index)
            self.emit("C_LOOP_START_R", counter, counter)
            self._forget()
            yield
            self.emit("C_LOOP_END", counter)
            self._forget()

    @contextmanager
    def loop_of(self, trips: Count) -> Iterator[None]:
        """Repeat what the with-block emits as often as the count says; a word may say never."""
        if isinstance(trips, int):
            with self.loop(trips):
                yield
            return
        with self.reg() as counter:
            self.load(counter, trips.address)
            self.emit("C_LOOP_START_R", counter, counter)
            self._forget()
            yield
            self.emit("C_LOOP_END", counter)
            self._forget()

    def _forget(self) -> None:
        """At a loop's head nothing is known: it is reached from before and from the loop's end."""
        self._known.clear()
        self._sticky.clear()

    def _forget_loop(self, counter: int) -> None:
        """Behind a loop of at least one trip everything the body set last still holds."""
        self._known.pop(counter, None)

    def forget(self) -> None:
        """Assume nothing about constants and sticky state, for code that sets them behind our back."""
        self._forget()

    def phase(self, step: str, operator: str, name: str | None = None) -> None:
        """Mark the start of an operator of a step."""
        info = PhaseInfo(name or f"{step}.{operator}", step, operator)
        if info not in self._phase_index:
            self._phase_index[info] = len(self.phases)
            self.phases.append(info)
        self.emit("C_PHASE", self._phase_index[info])

    def _state(self, mnemonic: str, *values: Count) -> None:
        if self._sticky.get(mnemonic) != values:
            self.emit(mnemonic, *[self.count(value) for value in values])
            self._sticky[mnemonic] = values

    def v_rows(self, rows: Count, stride: int = 1, stride2: int = 1) -> None:
        """Rows of vector instructions, vectors between rows of rd/rs1 and of rs2."""
        self._state("C_SET_V_ROWS", rows, stride, stride2)

    def v_lanes(self, lanes: Count, last_row_only: bool = False) -> None:
        """Valid lanes (0: all)."""
        self._state("C_SET_V_LANES", lanes, int(last_row_only))

    def v_seg(self, lanes: int) -> None:
        """Lanes per segment of V_*_SEG."""
        self._state("C_SET_V_SEG", lanes)

    def m_rows(self, rows: Count) -> None:
        """Rows of a tensor tile."""
        self._state("C_SET_M_ROWS", rows)

    def m_tiles(self, tiles: int, stride: int) -> None:
        """Tiles along the reduction, vectors between them."""
        self._state("C_SET_M_TILES", tiles, stride if tiles > 1 else 0)

    def m_fetch(self, tiles: int, elements: int) -> None:
        """Tiles of H_PREFETCH_M and elements per tile."""
        self._state("C_SET_M_FETCH", tiles, elements)

    def m_group(self, heads_per_kv: int, first: int) -> None:
        """Query heads per KV head, first query head of a packed tile."""
        self._state("C_SET_M_GROUP", heads_per_kv, first)

    def h_rows(self, rows: Count, width: int, stride: int) -> None:
        """Rows, elements per row and vectors between column blocks of HBM vector transfers."""
        self._state("C_SET_H_ROWS", rows, width, stride)

    def stride(self, elements: int) -> None:
        """HBM pitch of strided transfers and of K_STORE rows."""
        self._state("C_SET_STRIDE_REG", elements)

    def scale_offset(self, offset: int) -> None:
        """Bytes from a tensor's codes to its scales; whole pages where a register cannot hold them."""
        if offset < 1 << 32:
            self._state("C_SET_SCALE_REG", offset)
        else:
            self._state("C_SET_SCALE_PAGE", offset >> PAGE_BITS)

    def address(self, register: int, byte_base: int) -> None:
        """Make HBM address register `register` hold a 64-bit byte base."""
        self.emit("C_SET_ADDR_REG", register, self.const(byte_base >> 32), self.const(byte_base & 0xFFFFFFFF))

    def fetch_elements(self, register: int) -> None:
        """One tile of H_PREFETCH_M, of as many elements as the register says."""
        self.emit("C_SET_M_FETCH", self.const(1), register)
        self._sticky.pop("C_SET_M_FETCH", None)

    def add(self, register: int, amount: int) -> None:
        """register += a constant of any size."""
        if 0 < amount < 1 << IMM_BITS:
            self.emit("S_ADDI_INT", register, register, amount)
        elif amount:
            self.emit("S_ADD_INT", register, register, self.const(amount))

    def store(self, register: int, word: int) -> None:
        """INT_MEM[word] = register."""
        self.emit("S_ST_INT", register, 0, word)

    def load(self, register: int, word: int) -> None:
        """register = INT_MEM[word]."""
        if word < 1 << IMM_BITS:
            self.emit("S_LD_INT", register, 0, word)
        else:
            self.emit("S_LD_INT", register, self.const(word), 0)


def _instruction(mnemonic: str, values: tuple[int, ...]) -> Instruction:
    opcode = OPCODES[mnemonic]
    defaults = [operand.default for operand in opcode.operands[len(values) :]]
    full = values + tuple(value for value in defaults if value is not None)
    if len(full) != len(opcode.operands):
        raise TypeError(f"{mnemonic}: {len(values)} values for {len(opcode.operands)} operands")
    for operand, value in zip(opcode.operands, full, strict=True):
        check_value(opcode, operand, value)
    return Instruction(opcode, full)
