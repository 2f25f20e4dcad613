"""Elaboration: from a machine's parameters and a program to wired components. The one place that wires."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from archsim.components.core import Core, CoreSite, bind_handlers, build_core
from archsim.components.decode import Decoded, decode
from archsim.components.frontend import Barrier, FrontEnd
from archsim.components.logbook import LogBook
from archsim.components.port import MemoryPort
from archsim.components.replay import Replayer
from archsim.errors import TraceError
from archsim.isa.formats import Formats, format_named
from archsim.isa.header_json import FORMAT_ROLES
from archsim.isa.loops import executed, match_loops
from archsim.isa.program import Program
from archsim.kernel.observer import Observer
from archsim.kernel.simulation import Simulation
from archsim.kernel.snapshot import Visitor
from archsim.machine import MachineParams
from archsim.memory.fixed import FixedMemory
from archsim.memory.hbm import HbmMemory
from archsim.noc import Network

if TYPE_CHECKING:
    import networkx as nx

    from archsim.components.values import ValueRun
    from archsim.isa.semantics.system import System


@attrs.define(eq=False)
class Machine:
    """An elaborated machine with its program loaded, ready to run once."""

    params: MachineParams
    program: Program
    serial: bool
    sim: Simulation
    memory: HbmMemory | FixedMemory
    network: Network
    cores: list[Core]
    code: list[list[Decoded]]
    """Decoded instructions of each core; every core has its own counters."""
    replayer: Replayer | None
    values: ValueRun | None
    """Results on their way, where the run computes values."""


@attrs.frozen(kw_only=True)
class ReplaySettings:
    """When replay tries: loops of more than `body` static and `minimum` dynamic instructions an iteration.

    A run known to be of fewer than `worth` dynamic instructions is simulated as it is, with refresh in windows.
    Where refresh is spread, iterations of `forgiven` dynamic instructions or more, steps and blocks of a generation,
    need not repeat to the picosecond.
    """

    worth: int = 20_000
    body: int = 100
    minimum: int = 1000
    forgiven: int = 50_000


def build(
    program: Program,
    params: MachineParams,
    issue: str | None = None,
    observers: tuple[Observer, ...] = (),
    replay: ReplaySettings | None = None,
    values: System | None = None,
) -> Machine:
    """Elaborate; with `values`, the run also computes on that state, which must be of the same program and machine.

    Raises TraceError where the program was made for another machine, WiringError, ConfigError.
    """
    check_requirements(program, params)
    serial = (issue or params.issue) == "serial"
    sim = Simulation(observers)
    if replay is not None and not _worth_replay(program, params, replay):
        replay = None
    memory = params.memory.build(smooth_refresh=replay is not None)
    network = Network(params.noc, params.cores, memory.channel_count, params.period_ps)
    config, costs = params.core_config(), params.cost_table()
    formats = formats_of(program, params)
    barrier = Barrier(params.dispatch.barrier_cycles, params.period_ps)
    fronts: list[FrontEnd] = []
    cores, codes = [], []
    for index in range(params.cores):
        code = decode(program, costs, formats, params.fetch.line // 4, replay.body if replay else 1 << 60)
        bind_handlers(code, config, params.period_ps)
        site = CoreSite(
            index=index,
            cores=params.cores,
            sim=sim,
            period_ps=params.period_ps,
            serial=serial,
            memory=MemoryPort(index, memory, network, params.period_ps),
            hbm_bytes=params.memory.capacity,
            barrier=barrier,
            fronts=fronts,
            code=code,
            program=program,
            formats=formats,
            program_base=_program_base(program, params),
        )
        core = build_core(config, site)
        fronts.append(core.front)
        cores.append(core)
        codes.append(code)
    replayer = _replayer(sim, cores, memory, network, replay) if replay else None
    value_run = _bind_values(values, sim, fronts, codes) if values is not None else None
    sim.elaborate()
    return Machine(params, program, serial, sim, memory, network, cores, codes, replayer, value_run)


def _bind_values(values: System, sim: Simulation, fronts: list[FrontEnd], codes: list[list[Decoded]]) -> ValueRun:
    from archsim.components.values import ValueRun

    run = ValueRun(values, sim)
    run.bind(fronts, codes)
    return run


def _worth_replay(program: Program, params: MachineParams, replay: ReplaySettings) -> bool:
    """Whether the run and any loop are long enough, and the memory's state can be told (page mode is a reference)."""
    pairs = match_loops(program.instructions, program.where)
    count = executed(program.instructions, pairs)
    if params.memory.mode != "run" or (count is not None and count < replay.worth):
        return False
    return any(end - start > replay.body for start, end in pairs.items())


def _replayer(
    sim: Simulation,
    cores: list[Core],
    memory: HbmMemory | FixedMemory,
    network: Network,
    settings: ReplaySettings,
) -> Replayer:
    parts: list[Callable[[Visitor], None]] = [memory.replay, network.replay]
    for core in cores:
        parts += [core.front.replay, *(unit.replay for unit in core.units), core.port_a.replay, core.port_b.replay]
        parts.append(core.memory.replay)
    fronts = [core.front for core in cores]
    spread = isinstance(memory, HbmMemory) and memory.params.smooth and memory.refresh.interval_ps > 0
    forgiven = settings.forgiven if spread else None
    replayer = Replayer(sim, LogBook(fronts), parts, memory.period_bytes, forgiven, settings.minimum)
    for front in fronts:
        front.replayer = replayer
        front.stored = _variables(front)
    return replayer


def _variables(front: FrontEnd) -> set[int]:
    """INT_MEM words that the program stores to by their fixed address: the same from its beginning to its end."""
    stores = (each.values for each in front.code if each.mnemonic == "S_ST_INT")
    return {word for _, base, word in stores if base == 0 and word < len(front.int_mem)}


def check_requirements(program: Program, params: MachineParams) -> None:
    """Refuse a program that relies on another machine; raises TraceError naming the field."""
    for path, wanted in program.header.requires.items():
        if path == "machine":
            continue
        try:
            found = params.lookup(path)
        except KeyError:
            raise TraceError(f"{program.where}: requires {path}; expected a field of the machine") from None
        at_least = path.endswith((".capacity", "_words", ".slots"))
        if found != wanted and not (
            at_least and isinstance(found, int) and isinstance(wanted, int) and found >= wanted
        ):
            more = "at least " if at_least else ""
            raise TraceError(
                f"{program.where}: machine {params.name} has {path} = {found}; the program expects {more}{wanted}"
            )
    if program.header.cores > params.cores:
        has = f"machine {params.name} has {params.cores} cores"
        raise TraceError(f"{program.where}: {has}; the program expects {program.header.cores}")
    _check_images(program, params)


def _check_images(program: Program, params: MachineParams) -> None:
    images, words = program.header.int_mem, params.scalar_memory.int_words
    if len(images) > 1 and len(images) != params.cores:
        what = f"{len(images)} INT_MEM images for {params.cores} cores"
        raise TraceError(f"{program.where}: {what}; expected one for all or one for each")
    longest = max((len(image) for image in images), default=0)
    if longest > words:
        has = f"machine {params.name} has scalar_memory.int_words = {words}"
        raise TraceError(f"{program.where}: {has}; the program's INT_MEM image has {longest}")


def formats_of(program: Program, params: MachineParams) -> Formats:
    """The header's formats, and the machine's for roles that it does not name."""
    named = {
        role: format_named(program.header.formats.get(role, getattr(params.formats, role)), f"formats.{role}")
        for role in FORMAT_ROLES
    }
    return Formats(**named)


def _program_base(program: Program, params: MachineParams) -> int:
    """Where the program lies in HBM: a region of that name, else the top of the memory."""
    size = 4 * len(program.instructions)
    for region in program.header.regions:
        if region["name"] == "program":
            return int(region["base"])
    line = params.fetch.line
    base = (params.memory.capacity - size - line) // line * line
    if base < 0:
        raise TraceError(f"{program.where}: the program of {size} B does not fit the HBM of {params.memory.capacity} B")
    return base


def machine_graph(machine: Machine) -> nx.DiGraph[str]:
    """Every component of the machine as one graph: core-local port edges and the network's link edges.

    Edges carry kind ("port" or "link") and width (bytes/cycle); a port edge joins two components of a core.
    """
    graph: nx.DiGraph[str] = machine.network.graph.copy()
    vector_bytes = machine.params.core.vlen * 2
    for index, core in enumerate(machine.cores):
        _add_core(graph, f"core{index}", core, machine.params.vector_sram.rows_per_cycle * vector_bytes)
    return graph


_REACHES = {
    "tensor": ("vector_sram", "matrix_sram"),
    "vector": ("vector_sram",),
    "scalar": ("vector_sram", "fp_mem", "int_mem"),
    "kv_engine": ("vector_sram", "port"),
    "net": ("vector_sram", "port"),
    "dma": ("vector_sram", "matrix_sram", "port"),
}
"""Core-local neighbours of each unit."""


def _add_core(graph: nx.DiGraph[str], name: str, core: Core, width: int) -> None:
    for unit in core.units:
        graph.add_edge(core.front.path, unit.path, kind="port", width=4)
        role = unit.path.removeprefix(f"{name}.").rstrip("0123456789")
        for neighbour in _REACHES[role]:
            graph.add_edge(unit.path, f"{name}.{neighbour}", kind="port", width=width)
            graph.add_edge(f"{name}.{neighbour}", unit.path, kind="port", width=width)
    graph.add_edge(core.front.path, f"{name}.int_mem", kind="port", width=4)
    if core.fetch is not None:
        graph.add_edge(f"{name}.port", core.fetch.path, kind="port", width=core.fetch.params.line)
        graph.add_edge(core.fetch.path, core.front.path, kind="port", width=4)
