"""`archsim micro noc --reads`: what the links of a machine's network carry while reads of all its cores queue for them.

Every core reads from all channels, with as many transfers under way as a DMA engine has in flight; the next one starts
when one has ended. The flit-level network says how long that takes, and `noc.queued_percent` is the figure with which
the bulk network takes as long. The traffic is synthetic, so programs on the machine can be held against the result.
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.kernel.transfer import Share
from archsim.machine import MachineParams
from archsim.micro.noc_bulk import play_bulk, play_packets, span_ps
from archsim.micro.noc_record import Flow, Transfer, deliver_later
from archsim.noc.packet_machine import MachineWiring, machine_wiring
from archsim.noc.packet_params import PacketParams

TRANSFER_BYTES = 128 * 1024
TRANSFERS = 240
"""Size and number of the reads, those of all cores together: about what a projection of an 8 B model reads. With more,
the cores' reads fall into step and keep each other back longer: on `quad-mesh` 120 give 69 %, 480 give 60 %."""

MEMORY_CYCLES = 100
"""From a read's start to its first byte at the channels."""


@attrs.frozen(kw_only=True)
class ReadsResult:
    """The time of the reads in ps on both networks, that of the most loaded link alone, and the percentage found."""

    packet_ps: int
    bulk_100_ps: int
    bulk_ps: int
    queued_percent: int


def measure_reads(params: MachineParams, how: PacketParams) -> ReadsResult:
    """Play the reads; raises ConfigError for a machine of one core, WiringError and ConfigError as the networks do."""
    if params.cores < 2:
        raise ConfigError("--reads", params.name, "a machine of several cores: reads of one keep none of another's")
    channels = params.memory.build().channel_count
    wiring = machine_wiring(params.noc, params.cores, channels)
    reads = synthetic_reads(params, wiring)
    window = range(len(reads))
    packet_ps = span_ps(play_packets(reads, window, params, wiring, how))

    def bulk_ps(percent: int) -> int:
        changed = attrs.evolve(params, noc=attrs.evolve(params.noc, queued_percent=percent))
        return span_ps(play_bulk(reads, window, changed, channels))

    low, high = 1, 100
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if bulk_ps(middle) >= packet_ps else (low, middle - 1)
    best = min((low, min(low + 1, 100)), key=lambda percent: abs(bulk_ps(percent) - packet_ps))
    return ReadsResult(packet_ps=packet_ps, bulk_100_ps=bulk_ps(100), bulk_ps=bulk_ps(best), queued_percent=best)


def synthetic_reads(params: MachineParams, wiring: MachineWiring) -> list[Transfer]:
    """The reads, core by core in turn, each released by the one `in_flight` before it of the same core."""
    channels, period, under_way = len(wiring.channels), params.period_ps, params.cores * params.dma.in_flight
    part = TRANSFER_BYTES // channels
    reads: list[Transfer] = []
    for position in range(TRANSFERS):
        core, before = position % params.cores, position - under_way
        issued_ps = reads[before].end_ps if before >= 0 else position * period
        first_ps = issued_ps + MEMORY_CYCLES * period
        last_ps = first_ps + part // params.noc.memory_port_bytes_per_cycle * period
        share = Share(tuple(range(channels)), part, first_ps, last_ps)
        flows = [
            Flow(source=port, target=wiring.cores[core], nbytes=part, first_ps=first_ps, last_ps=last_ps)
            for port in wiring.channels
        ]
        reads.append(
            Transfer(
                call=deliver_later([share], core),
                flows=tuple(flows),
                issued_ps=issued_ps,
                end_ps=last_ps,
                released_by=max(before, -1),
            )
        )
    return reads
