"""Machine files: what is refused and how, programs made for other machines, and networks of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archsim import assemble, cli, simulate
from archsim.elaborate import build, machine_graph
from archsim.errors import ConfigError, TraceError, WiringError
from archsim.isa.program import Header, Program
from archsim.machine import MachineParams, dump_machine, load_machine

LoadText = Callable[[str], MachineParams]

CUSTOM = """
extends = "tiny"
[noc]
topology = "custom"
nodes = [{name = "a", role = "core"}, {name = "m", role = "memory"}]
"""


def program(text: str = "S_ADDI_INT gp1, gp0, 1\n", **header: Any) -> Program:
    return Program(instructions=tuple(assemble(text)), header=Header(**header), where="x.trace")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadText:
    """Load a machine file of that text, under the name m.toml."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str) -> MachineParams:
        (tmp_path / "m.toml").write_text(text)
        return load_machine("m.toml")

    return load_text


REFUSED = [
    ("[core]\nmlne = 128", "core.mlne: 128; expected a known key; did you mean 'mlen'?"),
    ("speed = 9", "speed: 9; expected a known key; one of "),
    ("memory = 3", "memory: 3; expected a table"),
    ('[core]\nblen = "16"', "core.blen: '16'; expected a whole number"),
    ("cores = true", "cores: True; expected a whole number"),
    ("[tensor]\nrtl_drain = 1", "tensor.rtl_drain: 1; expected true or false"),
    ("[dma]\nengines = 1.5", "dma.engines: 1.5; expected a whole number"),
    ("[core]\nhlen = 3", "core.hlen: 3; expected a power of two (1, 2, 4, ...)"),
    ("[core]\nhlen = 512", "core.hlen: 512; expected at most mlen"),
    ("[core]\nblen = 512", "core.blen: 512; expected at most mlen"),
    ("[core]\nmlen = 128", "core.mlen: 128; expected the same as vlen (256): tiles are read by whole vectors"),
    ("[dma]\nin_flight = 0", "dma.in_flight: 0; expected a whole number above 0"),
    ('[fetch]\nbuffer = "1 KiB"', "fetch.buffer: '1 KiB'; expected room for the line in use, those fetched ahead"),
    ("[vector_sram]\ncapacity = 3", "vector_sram.capacity: 3; expected a quantity such as \"8 MiB\" (units: B, KiB"),
    ('[vector_sram]\ncapacity = "1 MBs"', "vector_sram.capacity: '1 MBs'; expected a quantity such as \"8 MiB\""),
    ('[vector_sram]\ncapacity = "1 kB"', "vector_sram.capacity: '1 kB'; expected a multiple of 512 B, one vector of"),
    ('clock = "3 Hz"', "clock: '3 Hz'; expected a frequency whose period is a whole number of ps"),
    ('issue = "serail"', "issue: 'serail'; expected one of 'overlap', 'serial' (did you mean 'serial'?)"),
    ('[memory]\nrefresh = "none"', "memory.refresh: 'none'; expected one of 'all-bank', 'per-bank', 'off'"),
    ('[memory]\ntiming = "HBM9"', "memory.timing: 'HBM9'; expected one of HBM2-2000, HBM2-2400, HBM3-6400, V80-HBM2"),
    ("[memory]\nchannels = 3", "memory.channels: 3; expected a power of two"),
    ('[memory]\ncapacity = "1 MB"', "memory.capacity: 1000000; expected a multiple of 16384 B (one row of every bank)"),
    ('[memory]\ninterleave = "16 B"', "memory.interleave: 16; expected at least a burst of 32 B"),
    ('[formats]\nkv = "int4"', "formats.kv: 'int4'; expected one of 'bf16', 'mxfp8', 'mxint8', 'mxint4', 'fp32', '"),
    ('[costs.overrides]\nV_EXP_V = "blan"', "costs.overrides.V_EXP_V: 'blan'; expected a cost such as \"4\""),
    ('[costs.overrides]\nV_EXPP_V = "3"', "costs.overrides.V_EXPP_V: '3'; expected a mnemonic of the opcode table"),
    ('[noc]\ntopology = "mesh"\ncore_nodes = [9]', "noc.core_nodes: 9; expected a router index below 1"),
    ('[core.source]\nmlne = "x"', "core.source.mlne: 'x'; expected the name of a key of this table; did you mean"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_is_impossible_is_refused_with_its_place(change: str, message: str, load: LoadText) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f'extends = "tiny"\n{change}\n')
    assert str(caught.value).startswith(f"m.toml: {message}")


@pytest.mark.parametrize(("change", "message"), REFUSED[::5])
def test_the_command_line_says_it_in_one_line(
    change: str, message: str, load: LoadText, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.asm").write_text("S_ADDI_INT gp1, gp0, 1\n")
    (tmp_path / "bad.toml").write_text(f'extends = "tiny"\n{change}\n')
    for command in (["run", "x.asm", "--machine", "bad.toml"], ["machine", "bad.toml"]):
        assert cli.main(command) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"archsim: bad.toml: {message}")
        assert captured.err.count("\n") == 1


def test_the_smallest_changes_that_are_possible(load: LoadText) -> None:
    params = load('extends = "tiny"\n[core]\nhlen = 256\nblen = 256\n[vector_sram]\ncapacity = "512 B"\n')
    assert (params.core.hlen, params.core.blen, params.vector_sram.elements) == (256, 256, 256)


def test_a_machine_without_a_name(load: LoadText) -> None:
    with pytest.raises(ConfigError, match=r"^m\.toml: name: missing; expected a value, for this key has no default$"):
        load("cores = 2\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dart-2049", "machine: 'dart-2049'; expected a preset or a .toml file; did you mean 'dart-2048'?"),
        ("no/where.toml", "no/where.toml: 'No such file or directory'; expected a readable file"),
    ],
)
def test_a_machine_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_machine(name)
    assert str(caught.value) == message


def test_cores_without_a_router_each(load: LoadText) -> None:
    with pytest.raises(ConfigError) as caught:
        load('extends = "quad-mesh"\n[noc]\ncore_nodes = [1, 2]\n')
    assert str(caught.value) == "m.toml: noc.core_nodes: (1, 2); expected one router for each of 4 cores"


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ("", "core0.port cannot reach hbm.ch0"),
        ('links = [{a = "a", b = "m", width = 8, latency = 1, both_ways = false}]', "hbm.ch0 cannot reach core0.port"),
    ],
)
def test_a_port_that_no_link_leads_to(links: str, message: str, load: LoadText) -> None:
    with pytest.raises(WiringError) as caught:
        load(CUSTOM + links)
    expected = "expected a path of links from every port to every other"
    assert str(caught.value) == f"m.toml: noc: {message}; {expected}"


@pytest.mark.parametrize(
    ("requires", "message"),
    [
        ({"core.mlen": 512}, "machine tiny has core.mlen = 256; the program expects 512"),
        ({"matrix_sram.capacity": 2**18 + 1}, "machine tiny has matrix_sram.capacity = 262144; the program expects at"),
        ({"kv_engine.slots": 257}, "machine tiny has kv_engine.slots = 256; the program expects at least 257"),
        ({"core.lanes": 1}, "requires core.lanes; expected a field of the machine"),
    ],
)
def test_a_program_made_for_another_machine(requires: dict[str, object], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        simulate(program(requires=requires), load_machine("tiny"))
    assert str(caught.value).startswith(f"x.trace: {message}")


def test_a_program_for_more_cores() -> None:
    with pytest.raises(TraceError, match=r"^x\.trace: machine tiny has 1 cores; the program expects 4$"):
        simulate(program(cores=4), load_machine("tiny"))


@pytest.mark.parametrize(
    "requires", [{"core.mlen": 256}, {"matrix_sram.capacity": 2**18}, {"kv_engine.slots": 1}, {"machine": "dart-2048"}]
)
def test_a_machine_that_has_enough(requires: dict[str, object]) -> None:
    assert simulate(program(requires=requires), load_machine("tiny")).instructions == 1


def test_a_field_is_found_by_its_path() -> None:
    params = load_machine("tiny")
    assert params.lookup("core.mlen") == 256
    assert params.lookup("name") == "tiny"
    for path in ("core.__class__", "core.mlen.real.x", "kernel"):
        with pytest.raises(KeyError):
            params.lookup(path)


def test_fixed_memory_and_quantities_survive_a_dump(load: LoadText) -> None:
    params = load(
        'extends = "tiny"\nclock = "1.25 GHz"\n'
        '[memory]\nmodel = "fixed"\nlatency = "75 ns"\nbandwidth = "819.2 GB/s"\n'
        '[costs.overrides]\nV_RED_SUM = "11/4"\n'
    )
    assert params.memory.build().peak_bytes_per_s == 819_200_000_000
    assert params.cost_table()["V_RED_SUM"] == (11, 4)
    text = dump_machine(params)
    assert 'bandwidth = "819.2 GB/s"' in text
    assert load(text) == params


@pytest.mark.parametrize(("drain", "cycles"), [("false", 16), ("true", 20)])
def test_the_drain_of_the_rtl(drain: str, cycles: int, load: LoadText) -> None:
    table = load(f'extends = "tiny"\n[tensor]\nrtl_drain = {drain}\n').cost_table()
    assert table["M_MM"] == table["M_BTMM"] == (cycles, cycles)


def test_the_network_of_the_manual(load: LoadText) -> None:
    """The page's own machine: both cores and both channels where the roles say, and it runs."""
    page = (Path(__file__).parents[1] / "docs/machines.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- file: two-towns.toml -->\n```toml\n(.*?)```", page, re.S)
    assert found is not None
    params = load(found[1])
    graph = machine_graph(build(program(), params))
    places = {
        port: [node for node in graph[port] if graph.edges[port, node]["kind"] == "link"]
        for port in ("core0.port", "core1.port", "hbm.ch0", "hbm.ch1")
    }
    assert places == {"core0.port": ["west"], "core1.port": ["east"], "hbm.ch0": ["north"], "hbm.ch1": ["south"]}
    assert graph.edges["bridge", "east"]["width"] == 16
    load_rows = "S_LUI_INT gp1, 16\nC_SET_ADDR_REG a0, gp0, gp0\nC_SET_SCALE_REG gp1\nH_PREFETCH_V gp0, gp0, a0, 0, 3\n"
    result = simulate(program(load_rows), params)
    carried = {(link.source, link.target): link.bytes for link in result.links}
    assert carried["bridge", "east"] == carried["bridge", "west"] > 16 * 256
    assert carried["north", "bridge"] + carried["south", "bridge"] == 2 * carried["bridge", "east"]
