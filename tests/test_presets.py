"""Every preset: it loads, says where its figures come from, survives a dump, and is wired completely."""

from __future__ import annotations

from typing import Any

import attrs
import networkx as nx
import pytest

from archsim import assemble, simulate
from archsim.config import read_preset
from archsim.elaborate import build, machine_graph
from archsim.isa.program import Header, Program
from archsim.machine import MachineParams, dump_machine, load_machine, preset_names
from archsim.report.jsonout import dumps
from workloads.validation.published import published_sampler

NAMES = [
    "d-plena-1024",
    "d-plena-2048",
    "d-plena-512",
    "dart-1024",
    "dart-2048",
    "dart-2048-hbm3",
    "dart-2048-pipelined",
    "dart-512",
    "edge-256",
    "gemm-128",
    "gpu-like",
    "quad-mesh",
    "tiny",
]
DART = [name for name in NAMES if name.startswith("dart-")]

ELSEWHERE = {"memory.latency", "memory.bandwidth", "costs.overrides"}
"""Of the fixed memory model, and other costs: nothing that a preset must state."""
SHAPE = {f"noc.{name}" for name in ("rows", "cols", "arity", "memory_placement", "core_nodes", "queued_percent")}
SHAPE |= {"noc.memory_nodes", "noc.nodes", "noc.links"}
"""Of topologies other than a crossbar."""

PROGRAM = """
S_LUI_INT gp1, 1
C_SET_ADDR_REG a0, gp0, gp0
C_SET_SCALE_REG gp1
S_LUI_INT gp2, 8
S_ADDI_INT gp3, gp0, 3
C_LOOP_START gp4, 3
H_PREFETCH_V gp0, gp0, a0, 0, 3
V_EXP_V gp2, gp0
V_RED_SUM f1, gp2
H_STORE_V gp2, gp2, a0, 0, 3
C_LOOP_END gp4
"""


def program() -> Program:
    return Program(instructions=tuple(assemble(PROGRAM)), header=Header())


def unsourced(table: dict[str, Any], path: str = "") -> list[str]:
    """Paths of figures without a note; `name` is no figure."""
    missing = []
    for key, value in table.items():
        if key in ("source", "extends") or (key == "name" and not path):
            continue
        if isinstance(value, dict):
            missing += unsourced(value, f"{path}{key}.")
        elif not table.get("source", {}).get(key, "").strip():
            missing.append(f"{path}{key}")
    return missing


def fields(cls: type[Any], path: str = "") -> list[str]:
    """Paths of everything that a machine file may state."""
    attrs.resolve_types(cls)
    paths = []
    for field in attrs.fields(cls):
        if attrs.has(field.type):
            paths += fields(field.type, f"{path}{field.name}.")
        elif field.name != "source":
            paths.append(f"{path}{field.name}")
    return paths


def stated(table: dict[str, Any], path: str = "") -> set[str]:
    paths: set[str] = set()
    for key, value in table.items():
        paths |= stated(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return paths


def test_the_presets_are_these() -> None:
    assert preset_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_named_as_its_file(name: str) -> None:
    assert load_machine(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source(name: str) -> None:
    assert unsourced(read_preset(name)) == []


def test_a_missing_source_is_noticed() -> None:
    table = {"name": "x", "clock": 1, "core": {"mlen": 2, "blen": 3, "source": {"blen": "data sheet", "mlen": " "}}}
    assert unsourced(table) == ["clock", "core.mlen"]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_stated(name: str) -> None:
    assert set(fields(MachineParams)) - stated(read_preset(name)) - SHAPE == ELSEWHERE


@pytest.mark.parametrize("name", NAMES)
def test_a_dump_gives_the_same_machine_and_result(name: str, tmp_path: Any) -> None:
    params = load_machine(name)
    copy = tmp_path / "copy.toml"
    copy.write_text(dump_machine(params))
    again = load_machine(str(copy))
    assert again == params
    assert dump_machine(again) == dump_machine(params)
    assert dumps(simulate(program(), again)) == dumps(simulate(program(), params))


@pytest.mark.parametrize("name", NAMES)
def test_every_component_is_in_the_graph_and_every_channel_reaches_every_core(name: str) -> None:
    machine = build(program(), load_machine(name))
    graph = machine_graph(machine)
    links = graph.edge_subgraph(edge for edge in graph.edges if graph.edges[edge]["kind"] == "link")
    channels = {f"hbm.ch{index}" for index in range(machine.memory.channel_count)}
    for index, core in enumerate(machine.cores):
        own = {core.front.path, *(unit.path for unit in core.units)}
        own |= {core.fetch.path} if core.fetch is not None else set()
        own |= {f"core{index}.{part}" for part in ("vector_sram", "matrix_sram", "fp_mem", "int_mem")}
        assert own <= set(graph)
        port = f"core{index}.port"
        assert channels <= nx.descendants(links, port)
        assert channels <= nx.ancestors(links, port)
        assert own - {f"core{index}.fetch"} <= nx.descendants(graph, core.front.path) | {core.front.path}
    assert nx.is_weakly_connected(graph)
    assert {data["kind"] for _, _, data in graph.edges(data=True)} == {"link", "port"}


@pytest.mark.parametrize("name", [*DART, "quad-mesh"])
def test_dart_machines_share_one_bandwidth(name: str) -> None:
    assert load_machine(name).memory.build().peak_bytes_per_s == 819_200_000_000


@pytest.mark.parametrize(
    ("name", "channels", "peak"),
    [
        ("dart-2048", 64, 819_200_000_000),
        ("dart-2048-hbm3", 32, 819_200_000_000),
        ("d-plena-2048", 32, 512_000_000_000),
        ("d-plena-512", 32, 512_000_000_000),
        ("edge-256", 4, 51_200_000_000),
        ("tiny", 1, 16_000_000_000),
    ],
)
def test_channels_and_their_bandwidth(name: str, channels: int, peak: int) -> None:
    memory = load_machine(name).memory.build()
    assert (memory.channel_count, memory.peak_bytes_per_s) == (channels, peak)


@pytest.mark.parametrize("name", NAMES)
def test_no_port_of_the_network_throttles_the_memory(name: str) -> None:
    """A memory port carries its channel, and a core's port (all of them together) the whole HBM."""
    params = load_machine(name)
    memory = params.memory.build()
    hertz = params.clock
    assert params.noc.memory_port_bytes_per_cycle * hertz * memory.channel_count >= memory.peak_bytes_per_s
    assert params.noc.core_port_bytes_per_cycle * params.cores * hertz >= memory.peak_bytes_per_s


def test_the_pipelined_variant_differs_in_intervals_only() -> None:
    published, pipelined = load_machine("dart-2048"), load_machine("dart-2048-pipelined")
    assert attrs.evolve(pipelined, name="dart-2048", costs=published.costs) == published
    before, after = published.cost_table()["V_RED_SUM"], pipelined.cost_table()["V_RED_SUM"]
    assert (before, after) == ((8, 8), (8, 1))


@pytest.mark.parametrize("vlen", [2048, 1024, 512])
def test_the_published_set_ups_differ_in_lanes_only(vlen: int) -> None:
    base, params = load_machine("d-plena-2048"), load_machine(f"d-plena-{vlen}")
    assert params.issue == "serial"
    assert params.core.vlen == params.core.mlen == params.scalar_memory.fp_words == vlen
    assert attrs.evolve(params, name=base.name, core=base.core, scalar_memory=base.scalar_memory) == base


def test_the_fitted_constant_is_the_nearest_whole_cycle() -> None:
    params = load_machine("d-plena-2048")
    result = simulate(published_sampler(2048), params)
    loads = result.opcodes["H_PREFETCH_V"]["count"]
    miss = result.units["core0.dma"].busy_cycles - 392_320
    assert 2 * abs(miss) <= loads
    notes = [note for table in stated_notes() for note in table if "fitted" in note]
    assert notes == [params.dma.source["fixed_cycles"]] * 3


def stated_notes() -> list[list[str]]:
    """Source notes of the published set-ups, table by table."""
    tables = [table for vlen in (2048, 1024, 512) for table in read_preset(f"d-plena-{vlen}").values()]
    return [list(table.get("source", {}).values()) for table in tables if isinstance(table, dict)]


def test_quad_mesh_has_its_cores_inside_and_its_memory_on_the_rim() -> None:
    graph = build(program(), load_machine("quad-mesh")).network.graph
    inner = {f"noc.r{index}" for index in (5, 6, 9, 10)}
    assert {next(graph.successors(f"core{core}.port")) for core in range(4)} == inner
    assert {next(graph.successors(f"hbm.ch{channel}")) for channel in range(64)} == {
        f"noc.r{index}" for index in range(16)
    } - inner
    assert {graph.edges[a, b]["width"] for a, b in graph.edges if a.startswith("noc") and b.startswith("noc")} == {128}
