"""Values in the timed machine: operands are read when a unit starts an operation, results written when it retires.

Between the two nothing of the result is visible, so an operation that starts too early, because a
hazard was missed, computes something else than the interpreter. Dispatch runs its own instructions on
the values' registers as it runs them in time, and hands every operation what the sticky registers and
integer operands were.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs
import numpy as np

from archsim.components.decode import Decoded, Handler, Wait
from archsim.components.frontend import FrontEnd
from archsim.errors import ProgramFault
from archsim.isa.semantics.state import Call, CoreState, Write
from archsim.isa.semantics.step import Step
from archsim.kernel.simulation import Simulation

if TYPE_CHECKING:
    from archsim.isa.semantics.system import System

Pending = list[tuple[int, int, Write]]
"""A heap of (time ps, serial number, write)."""


@attrs.define(eq=False)
class ValueRun:
    """The results that are on their way, and the state that they go to."""

    system: System
    sim: Simulation
    pending: Pending = attrs.field(factory=list)
    integers: list[Pending] = attrs.field(init=False)
    """By core, writes to INT_MEM: dispatch reads it ahead of the units' time."""
    serial: int = 0

    def __attrs_post_init__(self) -> None:
        self.integers = [[] for _ in self.system.cores]

    def bind(self, fronts: list[FrontEnd], code: list[list[Decoded]]) -> None:
        """Give every instruction of every core a handler that sees to its values as well."""
        for core, front, decoded in zip(self.system.cores, fronts, code, strict=True):
            front.int_mem = core.ints.tolist()
            front.loaded = None  # the state knows what has been written, files included
            for item, step in zip(decoded, self.system.steps, strict=True):
                make = _front_handler if step.front else _unit_handler
                item.handler = make(self, core, step, item.handler)

    def settle(self, now: int) -> None:
        """Carry out every write whose time has come."""
        for heap in (self.pending, *self.integers):
            _apply(heap, now)

    def settle_integers(self, core: CoreState, now: int) -> None:
        """Carry out one core's writes to INT_MEM up to a time that may be ahead of the units'."""
        _apply(self.integers[core.index], now)

    def start(self, core: CoreState, call: Call, finish_ps: int) -> None:
        """A unit starts an instruction that retires at `finish_ps`."""
        self.settle(self.sim.now)
        call.arguments = _resolved(call.arguments)
        for write in _computed(core, call):
            self.serial += 1
            heap = self.integers[core.index] if write.integers else self.pending
            heapq.heappush(heap, (finish_ps, self.serial, write))

    def end(self) -> None:
        """The program is over: everything has retired."""
        for heap in (self.pending, *self.integers):
            _apply(heap, max((entry[0] for entry in heap), default=0))


@np.errstate(all="ignore")
def _computed(core: CoreState, call: Call) -> list[Write]:
    writes: list[Write] = call.step.function(core, call)
    return writes


@np.errstate(all="ignore")
def _apply(heap: Pending, now: int) -> None:
    while heap and heap[0][0] <= now:
        heapq.heappop(heap)[2].apply()


def _resolved(arguments: Iterable[int | Call]) -> list[int]:
    """Operands with the results of earlier operations in place."""
    out = []
    for argument in arguments:
        value = argument.result if isinstance(argument, Call) else argument
        assert value is not None, "an integer is used before the unit that makes it has started"
        out.append(value)
    return out


def _unit_handler(run: ValueRun, core: CoreState, step: Step, timed: Handler) -> Handler:
    """Dispatch as `timed` does; the operation computes when its unit starts it."""
    unit = {"tensor": "accumulating", "vector": "next_vector"}
    makes_integer = step.mnemonic == "V_RED_MAX_IDX"

    def handler(front: FrontEnd, decoded: Decoded) -> Wait:
        index = getattr(front, unit[decoded.unit]) if decoded.unit in unit else 0
        call = Call(step, step.arguments(core.gp, core.bases), core.sticky, index)
        before = decoded.count
        wait = timed(front, decoded)
        if decoded.count != before:
            operation = front.last[decoded.queue + index]
            assert operation is not None
            operation.effect = lambda finish_ps: run.start(core, call, finish_ps)
            if makes_integer and step.values[0]:
                core.gp[step.values[0]] = call
        return wait

    return handler


def _front_handler(run: ValueRun, core: CoreState, step: Step, timed: Handler) -> Handler:
    """Execute as `timed` does, and then on the values' registers."""
    loads = step.mnemonic == "S_LD_INT"

    def handler(front: FrontEnd, decoded: Decoded) -> Wait:
        before, now = decoded.count, front.time_ps
        wait = timed(front, decoded)
        if decoded.count == before:
            return wait
        arguments = _resolved(step.arguments(core.gp, core.bases))
        if loads:
            run.settle_integers(core, now)
        step.function(core, Call(step, arguments, core.sticky))
        if loads:
            _check_load(front, decoded, core)
        return wait

    return handler


def _check_load(front: FrontEnd, decoded: Decoded, core: CoreState) -> None:
    """Dispatch takes known words in program order; they must be those that INT_MEM holds by then."""
    register = decoded.values[0]
    known, found = front.registers[register], core.gp[register]
    if known is not None and known != found:
        raise ProgramFault(
            f"{front.path}: {decoded.place}: INT_MEM holds {found}; expected {known}, which program order gives"
        )
