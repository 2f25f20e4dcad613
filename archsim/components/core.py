"""A core: structural only. It makes the units, their queues and SRAM ports, and connects them."""

from __future__ import annotations

from typing import TypedDict

import attrs

from archsim.components.control import HANDLERS as CONTROL_HANDLERS
from archsim.components.decode import Decoded
from archsim.components.dma import DmaEngine
from archsim.components.fetch import InstructionFetch
from archsim.components.footprint import footprints
from archsim.components.frontend import Barrier, FrontEnd
from archsim.components.integer import HANDLERS as INTEGER_HANDLERS
from archsim.components.interface import NetworkInterface
from archsim.components.issue import HANDLERS as UNIT_HANDLERS
from archsim.components.kv_engine import KvEngine
from archsim.components.movement import HANDLERS as MOVEMENT_HANDLERS
from archsim.components.operation import Operation
from archsim.components.params import (
    CoreParams,
    DispatchParams,
    DmaParams,
    FetchParams,
    KvEngineParams,
    MatrixSramParams,
    ScalarMemoryParams,
    TensorParams,
    VectorParams,
    VectorSramParams,
)
from archsim.components.phases import PhaseLedger, PhaseTotals
from archsim.components.port import MemoryPort
from archsim.components.residency import Residency
from archsim.components.unit import ExecutionUnit, ScalarUnit, TensorCore, VectorUnit
from archsim.isa.formats import Formats
from archsim.isa.program import Program
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Simulation
from archsim.memory.port import SharedPort

HANDLERS = INTEGER_HANDLERS | CONTROL_HANDLERS | MOVEMENT_HANDLERS
"""Handlers by mnemonic; other instructions have one by unit."""


@attrs.frozen(kw_only=True)
class CoreConfig:
    """Everything that a core is made from."""

    core: CoreParams
    dispatch: DispatchParams
    fetch: FetchParams
    tensor: TensorParams
    vector: VectorParams
    kv_engine: KvEngineParams
    dma: DmaParams
    matrix_sram: MatrixSramParams
    vector_sram: VectorSramParams
    scalar_memory: ScalarMemoryParams


@attrs.frozen(kw_only=True)
class CoreSite:
    """Where a core stands in its machine and what it runs."""

    index: int
    cores: int
    sim: Simulation
    period_ps: int
    serial: bool
    memory: MemoryPort
    hbm_bytes: int
    barrier: Barrier
    fronts: list[FrontEnd]
    code: list[Decoded]
    program: Program
    formats: Formats
    program_base: int


@attrs.define(eq=False)
class Core:
    """The units of one core, by role."""

    front: FrontEnd
    fetch: InstructionFetch | None
    units: list[ExecutionUnit]
    port_a: SharedPort
    port_b: SharedPort
    memory: MemoryPort


def bind_handlers(code: list[Decoded], config: CoreConfig, period_ps: int) -> None:
    """Give every decoded instruction its handler, its footprints and the first queue of its unit."""
    first = first_queues(config)
    several = {"tensor": config.tensor.units > 1, "vector": config.vector.units > 1}
    for decoded in code:
        decoded.handler = HANDLERS.get(decoded.mnemonic) or UNIT_HANDLERS[decoded.unit]
        decoded.footprints = footprints(decoded)
        decoded.cost_ps = decoded.interval * period_ps
        if decoded.unit != "front":
            decoded.queue = first[decoded.unit]
            # Instructions of one kind that go to several units retire in any order.
            decoded.in_order &= not several.get(decoded.unit, False)
        if decoded.unit == "dma":
            decoded.queue += decoded.stream % config.dma.engines


def first_queues(config: CoreConfig) -> dict[str, int]:
    """Index of the first queue of each unit in a core's list of queues."""
    tensor, vector, dma = config.tensor.units, config.vector.units, config.dma.engines
    return {
        "tensor": 0,
        "vector": tensor,
        "scalar": tensor + vector,
        "kv": tensor + vector + 1,
        "net": tensor + vector + 2,
        "dma": tensor + vector + 3,
    } | {"end": tensor + vector + 3 + dma}


class _Common(TypedDict):
    """What every unit is made from."""

    path: str
    sim: Simulation
    period_ps: int
    queue: Queue[Operation]
    port_a: SharedPort
    port_b: SharedPort


def build_core(config: CoreConfig, site: CoreSite) -> Core:
    """Make one core's components and register them with the simulation."""
    name, sim, period = f"core{site.index}", site.sim, site.period_ps
    rows = config.vector_sram.rows_per_cycle
    port_a = SharedPort(f"{name}.vector_sram.a", rows)
    port_b = SharedPort(f"{name}.vector_sram.b", rows)
    queues: list[Queue[Operation]] = []
    units: list[ExecutionUnit] = []

    def common(unit: str, depth: int) -> _Common:
        queue: Queue[Operation] = Queue(sim, depth)
        queues.append(queue)
        return {
            "path": f"{name}.{unit}",
            "sim": sim,
            "period_ps": period,
            "queue": queue,
            "port_a": port_a,
            "port_b": port_b,
        }

    def label(unit: str, index: int, count: int) -> str:
        return unit if count == 1 else f"{unit}{index}"

    depth = config.dispatch
    for i in range(config.tensor.units):
        units.append(TensorCore(**common(label("tensor", i, config.tensor.units), depth.tensor_queue)))
    for i in range(config.vector.units):
        units.append(VectorUnit(**common(label("vector", i, config.vector.units), depth.vector_queue)))
    units.append(ScalarUnit(**common("scalar", depth.scalar_queue)))
    store_ps = (config.kv_engine.pipeline_cycles + config.dma.command_cycles) * period
    units.append(KvEngine(**common("kv_engine", depth.kv_queue), memory=site.memory, store_ps=store_ps))
    units.append(NetworkInterface(**common("net", depth.net_queue), port=site.memory, fronts=site.fronts))
    for i in range(config.dma.engines):
        common_dma = common(label("dma", i, config.dma.engines), depth.dma_queue)
        units.append(DmaEngine(**common_dma, params=config.dma, memory=site.memory))
    fetch = None if site.serial else _build_fetch(name, config, site)
    front = _build_front(name, config, site, queues, fetch)
    for component in (front, *([fetch] if fetch else []), *units):
        sim.add(component)
    return Core(front, fetch, units, port_a, port_b, site.memory)


def _build_fetch(name: str, config: CoreConfig, site: CoreSite) -> InstructionFetch:
    per_line = config.fetch.line // 4
    return InstructionFetch(
        path=f"{name}.fetch",
        sim=site.sim,
        params=config.fetch,
        base=site.program_base,
        lines=-(-len(site.code) // per_line),
        memory=site.memory,
    )


def _build_front(
    name: str, config: CoreConfig, site: CoreSite, queues: list[Queue[Operation]], fetch: InstructionFetch | None
) -> FrontEnd:
    header = site.program.header
    words = config.scalar_memory.int_words
    images = header.int_mem
    image = images[site.index if len(images) > 1 else 0] if images else ()
    return FrontEnd(
        path=f"{name}.front",
        sim=site.sim,
        core=site.index,
        cores=site.cores,
        geometry=config.core,
        formats=site.formats,
        period_ps=site.period_ps,
        serial=site.serial,
        code=site.code,
        fetch=fetch,
        queues=queues,
        limits=(
            config.vector_sram.elements,
            config.matrix_sram.cells,
            config.scalar_memory.fp_words,
            words,
            site.hbm_bytes,
            config.kv_engine.slots,
            8,
        ),
        ledger=PhaseLedger([PhaseTotals() for _ in range(len(header.phases) + 1)], site.index, site.sim.observers),
        gather_ids=header.gather_ids,
        barrier=site.barrier,
        int_mem=[*image, *[0] * (words - len(image))],
        tensor_units=config.tensor.units,
        vector_units=config.vector.units,
        prefetch_v_rows=config.dma.prefetch_v_rows,
        store_v_rows=config.dma.store_v_rows,
        kv_pipeline=config.kv_engine.pipeline_cycles,
        loaded=_residency(config) if header.regions else None,
    )


def _residency(config: CoreConfig) -> tuple[Residency, Residency]:
    """Programs with a memory map load all they use; plain assembly may rely on what a host has put there."""
    geometry = config.core
    tile = geometry.mlen * min(geometry.blen, geometry.hlen)
    vectors = Residency(config.vector_sram.elements, geometry.vlen)
    return vectors, Residency(config.matrix_sram.cells, tile)
