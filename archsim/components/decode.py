"""Static decoding: each instruction of a program becomes a record that dispatch runs quickly."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from archsim.isa.formats import KV, KV_BY_CHANNEL, Format, Formats, by_channel
from archsim.isa.loops import match_loops
from archsim.isa.program import Instruction, Program
from archsim.isa.timing.cost import Cost, CostEntry
from archsim.kernel.simulation import Event

if TYPE_CHECKING:
    from archsim.components.frontend import FrontEnd

Wait: TypeAlias = Generator[Event, Any, None] | None
"""What a handler returns: nothing when it is done, or a wait after which it is tried again."""
Handler: TypeAlias = "Callable[[FrontEnd, Decoded], Wait]"
SizeOf: TypeAlias = "Callable[[FrontEnd, Decoded], int]"
"""How much of its space a footprint covers."""

ANYWHERE, ALIGNED, ROUNDED = 0, 1, 2
"""Where footprints start: at their address, which in Vector SRAM may have to be a multiple of VLEN or is rounded down
to one."""

SPACE_INDEX = {"V": 0, "M": 1, "F": 2, "I": 3, "H": 4, "S": 5, "R": 6}
SPACE_NAMES = ("Vector SRAM", "Matrix SRAM", "FP_MEM", "INT_MEM", "HBM", "KV scale memory", "f registers")

_DMA_STREAM = {"H_PREFETCH_V": 2, "H_GATHER_V": 2, "H_STORE_V": 3}


class Touch:
    """One memory footprint of an instruction: space, read or write, address register, shape, offset."""

    __slots__ = ("offset", "register", "shape", "space", "write")

    def __init__(self, space: int, write: bool, register: int, shape: str, offset: int) -> None:
        self.space, self.write, self.register, self.shape, self.offset = space, write, register, shape, offset


class Footprint(NamedTuple):
    """A touch as dispatch enters it: where it starts and the function that tells its size."""

    space: int
    write: bool
    register: int
    offset: int
    size_of: SizeOf
    start: int
    """One of ANYWHERE, ALIGNED, ROUNDED."""


class Decoded:
    """A static instruction with everything that does not change from one execution to the next."""

    __slots__ = (
        "busy",
        "by_channel",
        "cost_ps",
        "count",
        "footprints",
        "handler",
        "heavy",
        "in_order",
        "index",
        "instruction",
        "integers_read",
        "interval",
        "jump",
        "latency",
        "length_cost",
        "length_register",
        "line",
        "mnemonic",
        "number_format",
        "one_row",
        "port_a",
        "port_b",
        "queue",
        "registers_read",
        "registers_written",
        "stream",
        "touches",
        "unit",
        "values",
    )

    def __init__(self, index: int, instruction: Instruction, cost: CostEntry, instructions_per_line: int) -> None:
        opcode = instruction.opcode
        self.index = index
        self.instruction = instruction
        self.mnemonic = opcode.mnemonic
        self.values = instruction.values
        self.unit = opcode.unit
        self.line = index // instructions_per_line
        self.latency, self.interval = cost if isinstance(cost, tuple) else (0, 0)
        self.length_cost: Cost | None = None if isinstance(cost, tuple) else cost
        named = {operand.name: value for operand, value in zip(opcode.operands, instruction.values, strict=True)}
        self.length_register = named.get("rlen", 0)
        # HBM ranges are in bytes and need base and format: transfers enter their own.
        self.touches = tuple(_touch(word, named) for word in opcode.touches.split() if word[1] != "H")
        pairs = list(zip(opcode.operands, instruction.values, strict=True))
        # f0 is constant, so nobody ever waits for it; S_ST_FP reads its first operand.
        self.registers_read = tuple(v for o, v in pairs if o.kind == "f" and o.reads and v)
        self.registers_written = tuple(v for o, v in pairs if o.kind == "f" and o.writes and v)
        used = {touch.register for touch in self.touches}
        self.integers_read = tuple(v for o, v in pairs if o.kind == "gp" and o.reads and v and v not in used)
        """Registers whose value, not as an address, goes to the unit: it may come from another unit."""
        vector = [touch for touch in self.touches if touch.space == 0]
        reads = [touch for touch in vector if not touch.write]
        tensor = self.unit == "tensor"
        self.one_row = tensor and vector[0].shape == "one"
        """A matrix-vector instruction: one row of the vector operand per tile."""
        self.port_a = 1 if reads and not tensor else 0
        self.port_b = len(vector) - self.port_a
        self.queue = -1
        self.stream = _DMA_STREAM.get(self.mnemonic, 0)
        self.in_order = self.unit in ("tensor", "vector", "scalar")
        self.number_format: Format | None = None
        self.by_channel = False
        """A transfer whose scale blocks lie along channels."""
        self.jump = 0
        self.heavy = False
        """End of a loop whose body is long enough to be worth replaying."""
        self.count = 0
        self.busy = 0
        self.cost_ps = 0
        """Time that dispatch spends on an instruction of its own."""
        self.footprints: tuple[Footprint, ...] = ()
        self.handler: Handler

    @property
    def place(self) -> str:
        """Where the instruction stands, for messages."""
        line = self.instruction.line
        return f"instruction {self.index} ({self.mnemonic}" + (f", line {line})" if line else ")")


def _touch(word: str, named: dict[str, int]) -> Touch:
    head, register, shape = word.split(":")
    offset = named.get("imm", 0) if shape in ("word", "block", "one") else named.get("off", 0)
    return Touch(SPACE_INDEX[head[1]], head[0] == "w", named[register], shape, offset)


def decode(
    program: Program, costs: dict[str, CostEntry], formats: Formats, instructions_per_line: int, replay_body: int
) -> list[Decoded]:
    """Decode a program and match its loops; raises AssemblyError where loops do not balance.

    Loops of more than `replay_body` static instructions are worth replaying.
    """
    code = [
        Decoded(i, ins, costs[ins.opcode.mnemonic], instructions_per_line) for i, ins in enumerate(program.instructions)
    ]
    for item in code:
        if item.mnemonic in ("H_PREFETCH_M", "H_PREFETCH_V", "H_STORE_V", "H_GATHER_V", "K_STORE"):
            item.number_format = formats.of(item.mnemonic, item.values, item.place)
            item.by_channel = by_channel(item.mnemonic, item.values)
        if item.mnemonic == "H_PREFETCH_M":
            item.stream = 1 if item.values[-1] in (KV, KV_BY_CHANNEL) else 0
    for start, end in match_loops(program.instructions, program.where).items():
        code[start].jump, code[end].jump = end + 1, start + 1
        code[end].heavy = end - start > replay_body
    return code
