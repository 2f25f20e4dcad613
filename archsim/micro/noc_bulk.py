"""The bulk network that whole runs use beside the flit-level one, on the transfers of a real run.

`record` takes down every transfer that a program's run asks of the network; `play_bulk` and `play_packets` carry
a list of them, each starting when it did in the run. A transfer is a set of flows between ports: read data come
evenly from when a channel has the first byte to when it has the last, written data are ready at once. The
flit-level network sends packets of at most `PACKET_BYTES`, as soon as their bytes are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import attrs

from archsim.components.port import Groups
from archsim.elaborate import build
from archsim.isa.program import Program
from archsim.kernel.transfer import Share
from archsim.machine import MachineParams
from archsim.noc import Network
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_machine import MachineWiring, machine_wiring
from archsim.noc.packet_params import PacketParams

PACKET_BYTES = 128
"""Payload of the longest packet."""


@attrs.frozen(kw_only=True)
class Flow:
    """Bytes from one port to another, there from `first_ps` to `last_ps`; ports are of a `MachineWiring`."""

    source: range
    target: range
    nbytes: int
    first_ps: int
    last_ps: int


@attrs.frozen(kw_only=True)
class Transfer:
    """One call of the bulk network: how to repeat it, and the flows that it stands for."""

    call: Callable[[Network], int]
    flows: tuple[Flow, ...]

    @property
    def start_ps(self) -> int:
        """When its first byte is there."""
        return min(flow.first_ps for flow in self.flows)


@attrs.define(eq=False)
class Recorder:
    """Stands between the cores and the network and takes down what passes."""

    network: Network
    wiring: MachineWiring
    transfers: list[Transfer] = attrs.field(factory=list)

    def request_latency_ps(self, core: int) -> int:
        """As the network's."""
        return self.network.request_latency_ps(core)

    def deliver(self, shares: Sequence[Share], core: int) -> tuple[int, bool]:
        """As the network's."""
        target, taken = self.wiring.cores[core], list(shares)
        self._note(
            lambda network: network.deliver(taken, core)[0],
            [
                Flow(
                    source=self.wiring.channels[channel],
                    target=target,
                    nbytes=share.nbytes,
                    first_ps=share.first_ps,
                    last_ps=share.last_ps,
                )
                for share in taken
                for channel in share.channels
            ],
        )
        return self.network.deliver(shares, core)

    def send_to_memory(self, at_ps: int, groups: Groups, core: int) -> int:
        """As the network's."""
        source, taken = self.wiring.cores[core], list(groups)
        self._note(
            lambda network: network.send_to_memory(at_ps, taken, core),
            [
                Flow(source=source, target=self.wiring.channels[channel], nbytes=nbytes, first_ps=at_ps, last_ps=at_ps)
                for channels, nbytes in taken
                for channel in channels
            ],
        )
        return self.network.send_to_memory(at_ps, groups, core)

    def put(self, src_core: int, dst_core: int, nbytes: int, at_ps: int) -> tuple[int, int]:
        """As the network's."""
        source, target = self.wiring.cores[src_core], self.wiring.cores[dst_core]
        self._note(
            lambda network: network.put(src_core, dst_core, nbytes, at_ps)[1],
            [Flow(source=source, target=target, nbytes=nbytes, first_ps=at_ps, last_ps=at_ps)],
        )
        return self.network.put(src_core, dst_core, nbytes, at_ps)

    def _note(self, call: Callable[[Network], int], flows: list[Flow]) -> None:
        self.transfers.append(Transfer(call=call, flows=tuple(flows)))


def record(program: Program, params: MachineParams) -> list[Transfer]:
    """Run the program and return its transfers in the order of the network's calls; raises as `simulate` does."""
    machine = build(program, params)
    recorder = Recorder(machine.network, machine_wiring(params.noc, params.cores, machine.network.channels))
    for core in machine.cores:
        core.memory.network = recorder
    machine.sim.run()
    return recorder.transfers


@attrs.frozen(kw_only=True)
class BulkComparison:
    """One list of transfers on both networks: from the first start to the last end, and the mean of a transfer."""

    bulk_span_ps: int
    packet_span_ps: int
    bulk_mean_ps: int
    packet_mean_ps: int


def compare(
    program: Program, params: MachineParams, windows: Sequence[range], how: PacketParams | None = None
) -> Iterator[BulkComparison]:
    """Record a run and play windows of its transfers on both networks; raises as `record` and `machine_wiring`."""
    recorded = record(program, params)
    channels = params.memory.build().channel_count
    wiring = machine_wiring(params.noc, params.cores, channels)
    for window in windows:
        transfers = recorded[window.start : window.stop]
        bulk = play_bulk(transfers, params, channels)
        packet = play_packets(transfers, params, wiring, how or PacketParams())
        starts = [transfer.start_ps for transfer in transfers]
        yield BulkComparison(
            bulk_span_ps=max(bulk) - min(starts),
            packet_span_ps=max(packet) - min(starts),
            bulk_mean_ps=(sum(bulk) - sum(starts)) // len(starts),
            packet_mean_ps=(sum(packet) - sum(starts)) // len(starts),
        )


def play_bulk(transfers: Sequence[Transfer], params: MachineParams, channels: int) -> list[int]:
    """When each transfer ends, in ps, on a bulk network that carries nothing else."""
    network = Network(params.noc, params.cores, channels, params.period_ps)
    return [transfer.call(network) for transfer in transfers]


def play_packets(
    transfers: Sequence[Transfer], params: MachineParams, wiring: MachineWiring, how: PacketParams
) -> list[int]:
    """When each transfer's last packet arrives, in ps, on a flit-level network that carries nothing else."""
    network, period = PacketNetwork(wiring.wiring, how), params.period_ps
    origin = min(transfer.start_ps for transfer in transfers) // period
    turns = {nodes: cycle(nodes) for nodes in (*wiring.cores, *wiring.channels)}
    sent: list[tuple[int, Packet]] = []
    due = sorted(_packets(transfers, wiring.flit_bytes, period))
    for created, _, index, number, flits in due:
        flow = transfers[index].flows[number]
        _advance(network, created - origin, len(sent))
        packet = Packet(next(turns[flow.source]), next(turns[flow.target]), network.cycle, flits)
        network.offer(packet)
        sent.append((index, packet))
    while len(network.finished) < len(sent):
        network.step()
    ends = [0] * len(transfers)
    for index, packet in sent:
        ends[index] = max(ends[index], (packet.delivered + origin) * period)
    return ends


def _packets(transfers: Sequence[Transfer], flit: int, period: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(cycle from which it is there, number within its flow, transfer, flow, flits) of every packet."""
    for index, transfer in enumerate(transfers):
        for number, flow in enumerate(transfer.flows):
            for order, before in enumerate(range(0, flow.nbytes, PACKET_BYTES)):
                size = min(PACKET_BYTES, flow.nbytes - before)
                ready = flow.first_ps + (flow.last_ps - flow.first_ps) * (before + size) // flow.nbytes
                yield -(-ready // period), order, index, number, -(-size // flit)


def _advance(network: PacketNetwork, until: int, sent: int) -> None:
    """Go on to a cycle; an empty network goes there at once, when its credits are home."""
    empty = 0
    while network.cycle < until:
        empty = empty + 1 if len(network.finished) == sent else 0
        if empty > len(network.wheel):
            network.cycle = until
        else:
            network.step()
