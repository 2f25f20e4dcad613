"""Run a program on a machine and gather the result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from archsim.bounds import ideal_bounds, program_bounds, step_bounds
from archsim.components.core import Core
from archsim.components.decode import Decoded
from archsim.components.phases import PhaseTotals
from archsim.components.watch import LoopShare
from archsim.config import dump_tree
from archsim.elaborate import Machine, ReplaySettings, build
from archsim.errors import ConfigError
from archsim.isa.program import Program
from archsim.kernel.observer import Observer
from archsim.machine import MachineParams
from archsim.memory.hbm import HbmMemory
from archsim.results import STALL_CAUSES, LinkRecord, LoopRecord, PhaseRecord, RunResult, StepRecord, UnitRecord

if TYPE_CHECKING:
    from archsim.isa.semantics.system import System


def simulate(
    program: Program,
    params: MachineParams,
    issue: str | None = None,
    observers: tuple[Observer, ...] = (),
    replay: bool | None = None,
    values: System | None = None,
) -> RunResult:
    """Run `program` on the machine `params`, in `issue` mode "serial" or "overlap" (default: the machine's).

    With `replay` (None: where no values are computed), loop iterations that repeat exactly are skipped where a
    program has long loops, and refresh is then spread evenly over the data instead of coming in windows. With
    `values` (see `functional`) the run also computes: the state is changed in place. An interrupt (Ctrl-C) ends
    the run early; the result then has `complete` = False and covers what was simulated. Raises ArchsimError:
    TraceError, ConfigError (also for `replay` with `values`), MemoryFault, ProgramFault, DeadlockError.
    """
    if replay and values is not None:
        raise ConfigError("replay", "on", "off where values are computed: what is skipped computes nothing")
    if replay is None:
        replay = values is None
    machine = build(program, params, issue, observers, ReplaySettings() if replay else None, values)
    complete = True
    try:
        machine.sim.run()
    except KeyboardInterrupt:
        complete = False
    if complete and machine.values is not None:
        machine.values.end()
    return collect(machine, complete)


def collect(machine: Machine, complete: bool = True) -> RunResult:
    """The account of a machine that has run."""
    end_ps = end_time(machine, complete)
    period = machine.params.period_ps
    cycles = -(-end_ps // period)
    phases = _phases(machine, end_ps)
    units: dict[str, UnitRecord] = {}
    for core in machine.cores:
        # Components keep kernel time; what replay skipped is in their totals already.
        units.update(_core_units(core, end_ps - machine.sim.skipped_ps, period))
    units.update(_memory_units(machine, cycles, period))
    header = machine.program.header
    return RunResult(
        complete=complete,
        machine=dump_tree(machine.params),
        program=_program_record(machine.program),
        schedule=header.schedule,
        issue="serial" if machine.serial else "overlap",
        time_ps=end_ps,
        cycles=cycles,
        instructions=sum(core.front.instructions for core in machine.cores),
        opcodes=_opcodes(machine.code),
        units=units,
        hbm=_hbm(machine),
        hbm_peak_bytes_per_s=machine.memory.peak_bytes_per_s,
        noc_bytes=machine.network.bytes,
        noc_hop_bytes=machine.network.hop_bytes,
        links=tuple(
            LinkRecord(source=u.src, target=u.dst, bytes=u.bytes, busy_ps=u.busy_ps) for u in machine.network.links()
        ),
        phases=phases,
        steps=_steps(machine, phases),
        bounds={
            "ideal": ideal_bounds(machine.params, machine.memory, header.ideal.get("total", {})),
            "program": program_bounds(machine, phases, end_ps),
        },
        committed_tokens=sum(_committed(f) for f in header.forwards) if complete else 0,
        forwards=len(header.forwards),
        notes=header.notes,
        replayed_ps=machine.replayer.replayed_ps if machine.replayer else 0,
        loops=_loops(machine),
    )


def _loops(machine: Machine) -> tuple[LoopRecord, ...]:
    levels: dict[int, list[LoopShare]] = {}
    for share in machine.replayer.shares.values() if machine.replayer else ():
        levels.setdefault(share.level, []).append(share)
    return tuple(
        LoopRecord(
            level=level,
            iterations=sum(share.iterations for share in shares),
            replayed=sum(share.replayed for share in shares),
            nearly=sum(share.nearly for share in shares),
        )
        for level, shares in sorted(levels.items())
    )


def end_time(machine: Machine, complete: bool = True) -> int:
    """When the last instruction retires, in ps; for an interrupted run, the last of those that had started."""
    ends = [core.front.time_ps for core in machine.cores]
    for core in machine.cores:
        ends += [last.finish_ps for last in core.front.last if last is not None]
        ends += [core.front.ledger.settled_ps - machine.sim.skipped_ps]
        if not complete:
            ends += [machine.sim.now, core.front.ledger.latest_ps, *(unit.free_ps for unit in core.units)]
    return max(ends) + machine.sim.skipped_ps


def _program_record(program: Program) -> dict[str, Any]:
    text = "\n".join(f"{i.opcode.mnemonic} {i.values}" for i in program.instructions)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    header = program.header
    record = {"name": header.name, "instructions": len(program.instructions), "sha256": digest, "model": header.model}
    return record | {"formats": header.formats, "seed": header.seed}


def _cycles(time_ps: int, period: int) -> int:
    """Core times are whole cycles; anything else is a mistake of the model."""
    cycles, rest = divmod(time_ps, period)
    assert not rest, f"{time_ps} ps is not a whole number of cycles"
    return cycles


def _record(
    busy_ps: int, idle_ps: int, stall_ps: dict[str, int], period: int, instructions: int, extra: dict[str, int]
) -> UnitRecord:
    return UnitRecord(
        busy_cycles=_cycles(busy_ps, period),
        idle_cycles=_cycles(idle_ps, period),
        stall_cycles={name: _cycles(value, period) for name, value in stall_ps.items()},
        instructions=instructions,
        extra=extra,
    )


def _core_units(core: Core, end_ps: int, period: int) -> dict[str, UnitRecord]:
    front = core.front
    records = {
        front.path: _record(front.busy_ps, end_ps - front.time_ps, front.stall_ps, period, front.instructions, {})
    }
    if core.fetch is not None:
        fetch = core.fetch
        fetch.end(end_ps)
        extra = {"lines_fetched": fetch.fetched_lines}
        records[fetch.path] = _record(fetch.busy_ps, fetch.idle_ps, _no_stalls(), period, 0, extra)
    for unit in core.units:
        unit.close(end_ps)
        extra = {name: getattr(unit, name) for name in _UNIT_BYTES if hasattr(unit, name)}
        records[unit.path] = _record(unit.busy_ps, unit.idle_ps, unit.stall_ps, period, unit.operations, extra)
    return records


_UNIT_BYTES = ("read_bytes", "write_bytes", "landed_bytes", "sent_bytes", "stored_bytes")


def _no_stalls() -> dict[str, int]:
    return dict.fromkeys(STALL_CAUSES, 0)


def _memory_units(machine: Machine, cycles: int, period: int) -> dict[str, UnitRecord]:
    """Channels run on a clock of their own: their data-bus time in core cycles, rounded up."""
    records = {}
    for index, busy_ps in enumerate(machine.memory.busy_ps()):
        busy = min(cycles, -(-busy_ps // period))
        records[f"hbm.ch{index}"] = UnitRecord(
            busy_cycles=busy, idle_cycles=cycles - busy, stall_cycles=_no_stalls(), instructions=0
        )
    return records


def _opcodes(code: list[list[Decoded]]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for decoded in (item for core in code for item in core):
        if decoded.count:
            row = table.setdefault(decoded.mnemonic, {"count": 0, "busy_cycles": 0})
            row["count"] += decoded.count
            row["busy_cycles"] += decoded.busy if decoded.unit != "front" else decoded.count * decoded.interval
    return dict(sorted(table.items()))


def _hbm(machine: Machine) -> dict[str, int]:
    counters = machine.memory.counters()
    if not isinstance(machine.memory, HbmMemory):
        return {name: counters[name] for name in ("read_bytes", "write_bytes")}
    counters["refreshes"] += machine.memory.refreshes_in(end_time(machine))
    return counters


def _phases(machine: Machine, end_ps: int) -> tuple[PhaseRecord, ...]:
    """Per phase: time of core 0 (the stream is common to all), work summed over cores.

    What other cores still need when core 0 is done belongs to its last phase.
    """
    names = [("start", "", "start"), *((p.name, p.step, p.operator) for p in machine.program.header.phases)]
    ledgers = [core.front.ledger.totals for core in machine.cores]
    machine.cores[0].front.ledger.extend(end_ps)
    records = []
    for index, (name, step, operator) in enumerate(names):
        first = ledgers[0][index]
        if first.count:
            work = {field: sum(getattr(totals[index], field) for totals in ledgers) for field in _WORK}
            records.append(
                PhaseRecord(name=name, step=step, operator=operator, count=first.count, time_ps=first.time_ps, **work)
            )
    return tuple(records)


_WORK = tuple(field.name for field in attrs.fields(PhaseTotals) if field.name not in ("count", "time_ps"))


def _steps(machine: Machine, phases: tuple[PhaseRecord, ...]) -> tuple[StepRecord, ...]:
    header = machine.program.header
    records = []
    for step in dict.fromkeys(str(forward["kind"]) for forward in header.forwards):
        mine = [forward for forward in header.forwards if forward["kind"] == step]
        own = [phase for phase in phases if phase.step == step]
        records.append(
            StepRecord(
                step=step,
                forwards=len(mine),
                time_ps=sum(phase.time_ps for phase in own),
                committed=sum(_committed(f) for f in mine),
                bounds={
                    "ideal": ideal_bounds(machine.params, machine.memory, header.ideal.get(step, {})),
                    "program": step_bounds(machine, own),
                },
            )
        )
    return tuple(records)


def _committed(forward: Mapping[str, Any]) -> int:
    """Tokens that a forward fixes in all the sequences that it fixes tokens in."""
    return int(forward["committed"]) * int(forward.get("committing", forward["sequences"]))
