"""The bulk network beside the flit-level one on the transfers of lowered LLaDA steps."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from archsim.errors import ConfigError
from archsim.isa.assembler import assemble
from archsim.isa.program import Header, Program
from archsim.machine import MachineParams, load_machine
from archsim.micro.noc import main
from archsim.micro.noc_bulk import compare, play_bulk, play_packets
from archsim.micro.noc_reads import measure_reads
from archsim.micro.noc_record import Transfer, record
from archsim.noc.packet_machine import machine_wiring
from archsim.noc.packet_params import PacketParams
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.validation import noc as validate_noc


def test_a_lone_read_takes_the_same_time_on_both() -> None:
    params = load_machine("dart-2048")
    text = "S_ADDI_INT gp1, gp0, 0\nH_PREFETCH_M gp1, gp1, a0\nC_WAIT_IDLE\n"
    transfers = record(Program(instructions=tuple(assemble(text)), header=Header()), params)
    channels = params.memory.build().channel_count
    place = next(index for index, item in enumerate(transfers) if len(item.flows) == channels)
    window = range(place, place + 1)
    (bulk,) = play_bulk(transfers, window, params, channels)
    wiring = machine_wiring(params.noc, params.cores, channels)
    (packet,) = play_packets(transfers, window, params, wiring, PacketParams())
    assert bulk.start_ps == packet.start_ps == transfers[place].start_ps
    assert bulk.end_ps == transfers[place].end_ps
    assert bulk.end_ps - bulk.start_ps == pytest.approx(packet.end_ps - packet.start_ps, rel=0.05)


@cache
def quad_mesh_start() -> tuple[MachineParams, list[Transfer]]:
    """The first 300 transfers of a small model's forward on `quad-mesh`."""
    params = load_machine("quad-mesh")
    schedule = build_schedule("llada", cache="none", prompt=16, gen=16, block=16, steps=1)
    model = load_model("llada-8b").shrunk(layers=1, vocab=8192, heads=8, kv_heads=8, hidden=1024, ffn=2048)
    return params, record(lower(model, schedule, view_of(params)), params)[:300]


def test_the_bulk_network_plays_a_run_as_it_was() -> None:
    """What a transfer waited for is found so that the same network gives the same times."""
    params, transfers = quad_mesh_start()
    played = play_bulk(transfers, range(300), params, params.memory.build().channel_count)
    assert [item.end_ps for item in played] == [item.end_ps for item in transfers]
    assert sum(item.released_by >= 0 for item in transfers) > 200


def test_a_window_beyond_the_last_transfer_is_refused() -> None:
    params, transfers = quad_mesh_start()
    with pytest.raises(ConfigError, match=r"transfers: '290-309'; expected some of the 300 that quad-mesh makes"):
        next(compare(transfers, params, [range(290, 310)]))


def test_a_slower_network_slows_its_sources_down() -> None:
    """Links of half the width, each start delayed by what it waited for."""
    params, transfers = quad_mesh_start()
    slow = attrs.evolve(params, noc=attrs.evolve(params.noc, link_bytes_per_cycle=64))
    channels = params.memory.build().channel_count
    fast_play, slow_play = (play_bulk(transfers, range(200), each, channels) for each in (params, slow))
    assert slow_play[-1].start_ps > 1.3 * fast_play[-1].start_ps
    assert max(item.end_ps for item in slow_play) == pytest.approx(2 * max(item.end_ps for item in fast_play), rel=0.15)


def test_a_selection_of_transfers_agrees() -> None:
    held = [row for row in validate_noc.rows(full=False) if row.tolerance is not None]
    assert len(held) == 2
    assert [row for row in held if not row.ok] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_windows_agree_but_those_named() -> None:
    held = [row for row in validate_noc.rows(full=True) if row.tolerance is not None]
    assert len(held) == sum(map(len, validate_noc.FULL.values()))
    missed = [row for row in held if not row.ok]
    causes = {f"flit-level; {cause}" for cause in validate_noc.CAUSES.values()}
    assert {row.note for row in missed} <= causes
    assert all(row.error is not None and abs(row.error) < 0.12 for row in missed)


@pytest.mark.slow
def test_the_presets_figure_is_what_synthetic_reads_show() -> None:
    params = load_machine("quad-mesh")
    found = measure_reads(params, PacketParams())
    assert found.queued_percent == params.noc.queued_percent
    assert found.bulk_ps == pytest.approx(found.packet_ps, rel=0.02)
    assert found.bulk_100_ps < 0.7 * found.packet_ps


def test_one_core_has_no_such_figure() -> None:
    with pytest.raises(ConfigError, match="--reads: 'dart-2048'; expected a machine of several cores"):
        main(["--reads", "dart-2048"])
