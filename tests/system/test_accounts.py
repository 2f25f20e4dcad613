"""What holds of every run: accounts add up, bytes are conserved, bounds bound, equal inputs give equal results."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim import MachineParams, simulate
from archsim.elaborate import build
from archsim.isa.program import PhaseInfo
from archsim.report.jsonout import dumps
from archsim.run import collect
from tests.system.assembly import COMPUTE, READS, SETUP, SETUP_CYCLES, WRITES, machines, programs
from tests.system.small import FIRST, machine, program

HEADER = {
    "phases": (PhaseInfo("one", "s", "x"), PhaseInfo("two", "s", "y")),
    "gather_ids": {"kind": "synthetic", "seed": 3, "vocab": 1000},
}


@given(text=programs(), params=machines())
def test_every_account_adds_up_and_bytes_are_conserved(text: str, params: MachineParams) -> None:
    run = build(program(text, **HEADER), params)
    run.sim.run()
    result = collect(run)
    for name, unit in result.units.items():
        parts = (unit.busy_cycles, unit.idle_cycles, *unit.stall_cycles.values())
        assert sum(parts) == result.cycles, name
        assert min(parts) >= 0, name
    assert sum(phase.time_ps for phase in result.phases) == result.time_ps
    assert sum(row["count"] for name, row in result.opcodes.items() if name != "C_PHASE") == result.instructions
    assert sum(phase.instructions for phase in result.phases) == result.instructions
    lines = result.units["core0.fetch"].extra["lines_fetched"] if "core0.fetch" in result.units else 0
    port = run.cores[0].memory
    asked = sum(phase.hbm_read_bytes for phase in result.phases) + lines * params.fetch.line
    assert asked == port.read_bytes == result.hbm["read_bytes"]
    stored = sum(phase.hbm_write_bytes for phase in result.phases)
    assert stored == port.write_bytes == result.hbm["write_bytes"]
    assert port.delivered_bytes == asked + stored
    units = [unit.extra for unit in result.units.values()]
    assert sum(extra.get("landed_bytes", 0) + extra.get("stored_bytes", 0) for extra in units) == (
        asked + stored - lines * params.fetch.line
    )
    puts = sum(phase.noc_bytes for phase in result.phases)
    assert result.noc_bytes == asked + stored + puts
    name, bound = result.bounds["program"].largest
    assert result.time_ps >= bound, name


@given(text=programs(), params=machines())
@settings(max_examples=25)
def test_equal_inputs_give_equal_bytes(text: str, params: MachineParams) -> None:
    first, second = (dumps(simulate(program(text, **HEADER), params)) for _ in range(2))
    assert first == second


LATENCIES = st.integers(0, 200)


def closed_form(body: Sequence[str], latency: int, bandwidth: int, command: int, convert: int) -> int:
    """Cycles of a serial run: costs, and for each transfer overheads, network, latency and bytes over bandwidth.

    `latency` in cycles, `bandwidth` in bytes a cycle. The wide links of the network take a cycle for the whole
    transfer: a read's first byte starts it, so it counts only where the memory is faster; a write is buffered.
    """
    total = SETUP_CYCLES
    for statement in body:
        if statement in COMPUTE:
            total += COMPUTE[statement]
        elif statement in READS:
            total += command + 5 + latency + max(1, -(-READS[statement] // bandwidth)) + 5 + convert
        else:
            # The last of 16 rows leaves Vector SRAM 16 cycles after the first.
            network_and_memory = 5 + 1 + latency + -(-WRITES[statement] // bandwidth)
            total += command + convert + max(16, network_and_memory)
    return total


@given(
    body=st.lists(st.sampled_from([*COMPUTE, *READS, *WRITES]), max_size=20),
    latency=LATENCIES,
    bandwidth=st.sampled_from([1, 3, 64, 1000, 100_000]),
    command=st.integers(0, 50),
    convert=st.integers(0, 50),
)
def test_serial_issue_on_fixed_memory_is_a_closed_form(
    body: list[str], latency: int, bandwidth: int, command: int, convert: int
) -> None:
    params = machine(
        memory={"latency": 1000 * latency, "bandwidth": bandwidth * 10**9},
        dma={"command_cycles": command, "convert_cycles": convert},
    )
    result = simulate(program(SETUP + "\n".join(body), **HEADER), params, issue="serial")
    assert result.cycles == closed_form(body, latency, bandwidth, command, convert)


@given(
    body=st.lists(st.sampled_from([*COMPUTE, *READS, *WRITES]), max_size=40),
    rows=st.integers(1, 4),
    units=st.integers(1, 2),
    in_flight=st.integers(1, 4),
)
def test_overlap_is_no_slower_than_serial(body: list[str], rows: int, units: int, in_flight: int) -> None:
    """Apart from the one line of instructions, which serial issue has for nothing."""
    params = machine(
        vector_sram={"rows_per_cycle": rows},
        tensor={"units": units},
        vector={"units": units},
        dma={"in_flight": in_flight},
    )
    whole = program(SETUP + "\n".join(body), **HEADER)
    overlap, serial = (simulate(whole, params, issue=issue).cycles for issue in ("overlap", "serial"))
    assert overlap - FIRST <= serial
    assert simulate(whole, params, issue="serial").bounds["program"].issue_ps <= serial * 1000


@pytest.mark.parametrize("cores", [2, 4])
def test_accounts_of_several_cores(cores: int) -> None:
    """Each puts to its neighbour, meets the others, and loads; the sums run over all cores."""
    images = tuple((i, (i + 1) % cores, cores) for i in range(cores))
    text = (
        "S_ADDI_INT gp1, gp0, 1\nS_LD_INT gp2, gp0, 1\nS_LD_INT gp3, gp0, 2\nC_LOOP_START gp4, 5\n"
        "H_PREFETCH_V gp0, gp0, a0\nN_PUT gp0, gp0, gp2\nN_WAIT gp1\nV_PS_V gp0, gp0\n"
        "C_BARRIER gp0, gp3\nC_LOOP_END gp4"
    )
    run = build(program(text, int_mem=images, cores=cores), machine(cores=cores))
    run.sim.run()
    result = collect(run)
    for name, unit in result.units.items():
        assert unit.busy_cycles + unit.idle_cycles + sum(unit.stall_cycles.values()) == result.cycles, name
    assert result.opcodes["N_PUT"]["count"] == result.opcodes["C_BARRIER"]["count"] == 5 * cores
    reads = cores * (5 * 1056 + 256)
    assert result.hbm["read_bytes"] == sum(core.memory.delivered_bytes for core in run.cores) == reads
    assert result.noc_bytes == reads + cores * 5 * 128
    assert result.time_ps >= result.bounds["program"].largest[1]
