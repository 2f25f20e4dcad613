"""The bulk network beside the flit-level one on the transfers of lowered LLaDA steps."""

from __future__ import annotations

import pytest

from archsim.isa.assembler import assemble
from archsim.isa.program import Header, Program
from archsim.machine import load_machine
from archsim.micro.noc_bulk import play_bulk, play_packets, record
from archsim.noc.packet_machine import machine_wiring
from archsim.noc.packet_params import PacketParams
from workloads import validate_noc


def test_a_lone_read_takes_the_same_time_on_both() -> None:
    params = load_machine("dart-2048")
    text = "S_ADDI_INT gp1, gp0, 0\nH_PREFETCH_M gp1, gp1, a0\nC_WAIT_IDLE\n"
    transfers = record(Program(instructions=tuple(assemble(text)), header=Header()), params)
    channels = params.memory.build().channel_count
    (longest,) = [item for item in transfers if len(item.flows) == channels][:1]
    bulk = play_bulk([longest], params, channels)[0] - longest.start_ps
    wiring = machine_wiring(params.noc, params.cores, channels)
    packet = play_packets([longest], params, wiring, PacketParams())[0] - longest.start_ps
    assert bulk == pytest.approx(packet, rel=0.05)


def test_a_selection_of_transfers_agrees() -> None:
    held = [row for row in validate_noc.rows(full=False) if row.tolerance is not None]
    assert len(held) == 2
    assert [row for row in held if not row.ok] == []


@pytest.mark.slow
def test_all_windows_agree_but_one() -> None:
    """The start of the run, where all links stay full, has its cause written beside it."""
    held = [row for row in validate_noc.rows(full=True) if row.tolerance is not None]
    assert len(held) == 7
    (missed,) = [row for row in held if not row.ok]
    assert "72 %" in missed.note
    assert missed.error is not None
    assert 0.05 < missed.error < 0.11
