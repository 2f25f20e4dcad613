"""Analytic lower bounds of a run's time, by resource: the best that any timing could do.

ideal    from model shape, schedule and machine alone; the work amounts come in the program's header
program  from the instructions as emitted, as counted at dispatch
"""

from __future__ import annotations

from collections.abc import Sequence

from archsim.elaborate import Machine
from archsim.machine import MachineParams
from archsim.memory.fixed import FixedMemory
from archsim.memory.hbm import HbmMemory
from archsim.results import Bounds, PhaseRecord
from archsim.units import PS_PER_SECOND


def hbm_bound_ps(memory: HbmMemory | FixedMemory, nbytes: int) -> int:
    """Shortest time to move `nbytes`: peak bandwidth, less the refreshes that fit the time it takes.

    The smallest T with T - floor(T / tREFI) * tRFC >= bytes / peak, found by fixed-point iteration.
    """
    moving = nbytes * PS_PER_SECOND // memory.peak_bytes_per_s
    duration = moving
    while (free := memory.refresh_free(duration)) < moving:
        duration += moving - free
    return duration


def ideal_bounds(params: MachineParams, memory: HbmMemory | FixedMemory, work: dict[str, int]) -> Bounds:
    """Bounds from the header's work amounts: cycles of one core, HBM bytes of all, network bytes of one port."""
    period = params.period_ps
    return Bounds(
        compute_ps=work.get("tensor_cycles", 0) * period // (params.cores * params.tensor.units),
        vector_ps=work.get("vector_cycles", 0) * period // (params.cores * params.vector.units),
        hbm_ps=hbm_bound_ps(memory, work.get("hbm_bytes", 0)),
        noc_ps=work.get("noc_bytes", 0) * period // (params.cores * params.noc.core_port_bytes_per_cycle),
        issue_ps=work.get("issue", 0) * period,
    )


def _counted(machine: Machine, phases: Sequence[PhaseRecord], noc_ps: int) -> Bounds:
    params = machine.params
    cores, period = params.cores, params.period_ps
    nbytes = sum(phase.hbm_read_bytes + phase.hbm_write_bytes for phase in phases)
    return Bounds(
        compute_ps=sum(phase.tensor_cycles for phase in phases) * period // (cores * params.tensor.units),
        vector_ps=sum(phase.vector_cycles for phase in phases) * period // (cores * params.vector.units),
        hbm_ps=hbm_bound_ps(machine.memory, nbytes),
        noc_ps=noc_ps,
        issue_ps=sum(phase.instructions for phase in phases) * period // cores,
    )


def program_bounds(machine: Machine, phases: Sequence[PhaseRecord], end_ps: int) -> Bounds:
    """Bounds of the whole run of `end_ps`; the network's is its most loaded link.

    What a link still carries at the end, such as instructions fetched ahead in vain, bounds nothing.
    """
    busiest = max((link.busy_ps for link in machine.network.links()), default=0)
    return _counted(machine, phases, min(busiest, end_ps))


def step_bounds(machine: Machine, phases: Sequence[PhaseRecord]) -> Bounds:
    """Bounds of the forwards of one kind, all together; the network's is that of the cores' ports."""
    params = machine.params
    nbytes = sum(phase.hbm_read_bytes + phase.noc_bytes for phase in phases)
    port = params.cores * params.noc.core_port_bytes_per_cycle
    return _counted(machine, phases, nbytes * params.period_ps // port)
