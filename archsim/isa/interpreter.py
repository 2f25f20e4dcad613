"""A program's values without time: instructions in program order, core after core.

Of the timed machine it shares what each instruction computes, and nothing else: neither order nor
hazards, queues or memory. A core runs until it waits for another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from archsim.errors import DeadlockError
from archsim.isa.semantics.state import Call, CoreState
from archsim.isa.semantics.step import Step
from archsim.isa.semantics.system import System

_LOOP_STARTS = ("C_LOOP_START", "C_LOOP_START_R")
_DECIDING = frozenset((*_LOOP_STARTS, "C_LOOP_END", "C_BREAK", "C_BARRIER", "N_WAIT"))
_CONTROL, _FRONT, _UNIT = range(3)
"""Kinds of instructions: those that decide what comes next, the front end's other ones, operations of units."""


@attrs.define(eq=False)
class _Thread:
    """Where one core is."""

    core: CoreState
    pc: int = 0
    receipts: int = 0
    """Transfers from other cores that no N_WAIT has consumed."""
    waiting: str = ""
    """What the core waits for."""
    released: bool = False
    """Whether the barrier that the core waits at has opened."""
    executed: int = 0


@attrs.define(eq=False)
class _Run:
    system: System
    threads: list[_Thread]
    calls: list[tuple[Call, Callable[..., Any], int]]
    """Each instruction's call, used again by every execution of it, with its function and kind."""
    arrived: dict[int, list[_Thread]] = attrs.field(factory=dict)


def interpret(system: System) -> int:
    """Run the program on its state to its end; the number of instructions executed by all cores.

    Raises MemoryFault, ProgramFault, and DeadlockError where every core waits.
    """
    calls = [(Call(step, [], system.cores[0].sticky), step.function, _kind(step)) for step in system.steps]
    run = _Run(system, [_Thread(core) for core in system.cores], calls)
    end = len(system.steps)
    with np.errstate(all="ignore"):
        while any(thread.pc < end for thread in run.threads):
            before = sum(thread.executed for thread in run.threads)
            for thread in run.threads:
                _advance(run, thread)
            if sum(thread.executed for thread in run.threads) == before:
                raise DeadlockError([(t.core.name, t.waiting, 0) for t in run.threads if t.pc < end])
    return sum(thread.executed for thread in run.threads)


def _kind(step: Step) -> int:
    if step.mnemonic in _DECIDING:
        return _CONTROL
    return _FRONT if step.front else _UNIT


def _advance(run: _Run, thread: _Thread) -> None:
    """Run one core until it waits or ends."""
    steps, core = run.calls, thread.core
    end, gp, bases = len(steps), core.gp, core.bases
    while thread.pc < end:
        call, function, kind = steps[thread.pc]
        step = call.step
        call.arguments = step.arguments(gp, bases)
        call.sticky = core.sticky
        if kind == _CONTROL:
            if not _control(run, thread, step, call):
                return
        else:
            writes = function(core, call)
            thread.pc += 1
            if kind == _UNIT:
                for write in writes:
                    write.apply()
                _after(run, core, step, call)
        thread.executed += 1


def _after(run: _Run, core: CoreState, step: Step, call: Call) -> None:
    """What an operation of a unit leaves beyond its writes: an integer register, a receipt elsewhere."""
    if call.result is not None:
        if step.values[0]:
            core.gp[step.values[0]] = call.result
        call.result = None
    if step.mnemonic == "N_PUT":
        run.threads[call.arguments[2]].receipts += 1


def _control(run: _Run, thread: _Thread, step: Step, call: Call) -> bool:
    """One instruction that decides what comes next; whether it could be done."""
    mnemonic, core = step.mnemonic, thread.core
    if mnemonic == "N_WAIT":
        wanted = call.arguments[0]
        if thread.receipts < wanted:
            thread.waiting = f"{wanted} receipts, {thread.receipts} have come, at {step.place}"
            return False
        thread.receipts -= wanted
    elif mnemonic == "C_BARRIER" and not _pass_barrier(run, thread, step, *call.arguments):
        return False
    step.function(core, call)
    if mnemonic == "C_BREAK":
        thread.pc = len(run.system.steps)
    elif mnemonic == "C_LOOP_END":
        thread.pc = step.jump if call.result else thread.pc + 1
    elif mnemonic in _LOOP_STARTS and not call.arguments[1]:
        thread.pc = step.jump
    else:
        thread.pc += 1
    return True


def _pass_barrier(run: _Run, thread: _Thread, step: Step, number: int, count: int) -> bool:
    arrived = run.arrived.setdefault(number, [])
    if thread.released:
        thread.released = False
        return True
    if thread not in arrived:
        arrived.append(thread)
    if len(arrived) < count:
        thread.waiting = f"barrier {number} ({len(arrived)} of {count} cores have arrived), at {step.place}"
        return False
    run.arrived[number] = []
    for other in arrived:
        other.released = other is not thread
    return True
