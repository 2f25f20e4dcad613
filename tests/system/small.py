"""A small machine with round numbers, so that tests can be worked out by hand.

1 GHz, so a cycle is 1000 ps. MLEN = VLEN = 64, BLEN 8, HLEN 16. Memory of fixed latency, 100 cycles, and 64 bytes
a cycle behind a crossbar of wide ports: LINK cycles each way, two links of 1 cycle and a router of 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs

from archsim import MachineParams, Program, RunResult, assemble, simulate
from archsim.components.params import CoreParams
from archsim.isa.program import Header
from archsim.kernel.observer import Observer
from archsim.machine import MemoryParams
from archsim.noc import NocParams
from archsim.units import Bytes, BytesPerSecond, Ps

PS = 1000
VLEN, BLEN, HLEN = 64, 8, 16
LINK = 5
LATENCY = 100
WIDTH = 64
"""Bytes that the memory moves a cycle."""
FIRST = LINK + LATENCY + 4 + LINK
"""Cycle at which the first instruction is dispatched: its line of 256 B has arrived."""


def machine(**sections: dict[str, Any] | int | str) -> MachineParams:
    """The small machine, with fields of its sections replaced: machine(dma={"in_flight": 1}, cores=2)."""
    params = MachineParams(
        name="small",
        core=CoreParams(mlen=VLEN, vlen=VLEN, blen=BLEN, hlen=HLEN),
        memory=MemoryParams(
            model="fixed",
            latency=Ps(LATENCY * PS),
            bandwidth=BytesPerSecond(WIDTH * 10**9),
            capacity=Bytes(2**26),
        ),
        noc=NocParams(core_port_bytes_per_cycle=2**20, memory_port_bytes_per_cycle=2**20),
    )
    for name, value in sections.items():
        if isinstance(value, dict):
            value = attrs.evolve(getattr(params, name), **value)
        params = attrs.evolve(params, **{name: value})
    return params


class Slice(NamedTuple):
    """One instruction on its unit, in cycles."""

    track: str
    name: str
    start: int
    end: int


class Trace(Observer):
    """Every slice of a run."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []

    def slice(self, track: str, name: str, start_ps: int, end_ps: int, phase: int) -> None:
        assert start_ps % PS == end_ps % PS == 0
        self.slices.append(Slice(track.removeprefix("core0."), name, start_ps // PS, end_ps // PS))


@attrs.frozen
class Run:
    """A result with the slices that made it."""

    result: RunResult
    slices: list[Slice]

    @property
    def cycles(self) -> int:
        return self.result.cycles

    def of(self, name: str) -> list[Slice]:
        """Slices of one mnemonic, or of one unit."""
        return [item for item in self.slices if name in (item.name, item.track)]

    def starts(self, name: str) -> list[int]:
        """When the instructions of that name started, in cycles."""
        return [item.start for item in self.of(name)]

    def stalls(self, unit: str) -> dict[str, int]:
        """The unit's stalls that are not 0, in cycles."""
        found = self.result.units[f"core0.{unit}"].stall_cycles
        return {cause: cycles for cause, cycles in found.items() if cycles}


def program(text: str, **header: Any) -> Program:
    return Program(instructions=tuple(assemble(text)), header=Header(**header))


def integers(**registers: int) -> str:
    """Set registers: integers(gp1=64) takes one instruction each."""
    return "".join(f"S_ADDI_INT {name}, gp0, {value}\n" for name, value in registers.items())


def run(text: str, params: MachineParams | None = None, issue: str | None = None, **header: Any) -> Run:
    trace = Trace()
    result = simulate(program(text, **header), params or machine(), issue=issue, observers=(trace,))
    return Run(result, trace.slices)


def serial(text: str, params: MachineParams | None = None, **header: Any) -> Run:
    return run(text, params, "serial", **header)


def read_cycles(nbytes: int) -> int:
    """From the start of a DMA read to its last byte in SRAM: command, memory, conversion."""
    return 8 + LINK + LATENCY + -(-nbytes // WIDTH) + LINK + 8
