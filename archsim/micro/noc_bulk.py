"""The bulk network that whole runs use beside the flit-level one, on the transfers of a real run.

Both networks carry the same list of transfers, and each transfer starts as long after the one that released it as in
the run (see `noc_record`): a network that is slow slows its sources down, as it does in a machine. What the memory
takes is that of the run. The flit-level network sends packets of at most `PACKET_BYTES`, as soon as their bytes are
there, through `PacketParams` routers.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle

import attrs

from archsim.errors import ConfigError
from archsim.machine import MachineParams
from archsim.micro.noc_record import Transfer
from archsim.noc import Network
from archsim.noc.packet import Packet
from archsim.noc.packet_machine import MachineWiring, machine_wiring
from archsim.noc.packet_oldest import packet_network
from archsim.noc.packet_params import PacketParams

PACKET_BYTES = 128

UNHINDERED = PacketParams(buffer=1 << 20, arbitration="oldest")
"""Routers without round robin whose buffers no window fills: what the bulk network takes them for."""
"""Payload of the longest packet."""


@attrs.frozen(kw_only=True)
class Played:
    """When a transfer's first byte was there, and when its last one had arrived, in ps."""

    start_ps: int
    end_ps: int


@attrs.frozen(kw_only=True)
class BulkComparison:
    """One list of transfers on both networks: from the first start to the last end, and the mean of a transfer."""

    bulk_span_ps: int
    packet_span_ps: int
    bulk_mean_ps: int
    packet_mean_ps: int


def compare(
    recorded: Sequence[Transfer], params: MachineParams, windows: Iterable[range], how: PacketParams | None = None
) -> Iterator[BulkComparison]:
    """Play windows of the recorded transfers on both networks; raises as `machine_wiring` and `PacketNetwork`.

    Also ConfigError, for a window beyond the last transfer.
    """
    channels = params.memory.build().channel_count
    wiring = machine_wiring(params.noc, params.cores, channels)
    for window in windows:
        if window.stop > len(recorded):
            expected = f"some of the {len(recorded)} that {params.name} makes"
            raise ConfigError("transfers", f"{window.start}-{window.stop - 1}", expected)
        bulk = play_bulk(recorded, window, params, channels)
        packet = play_packets(recorded, window, params, wiring, how or PacketParams())
        yield BulkComparison(
            bulk_span_ps=span_ps(bulk),
            packet_span_ps=span_ps(packet),
            bulk_mean_ps=_mean(bulk),
            packet_mean_ps=_mean(packet),
        )


def span_ps(played: Sequence[Played]) -> int:
    """From the first start to the last end."""
    return max(item.end_ps for item in played) - min(item.start_ps for item in played)


def _mean(played: Sequence[Played]) -> int:
    return sum(item.end_ps - item.start_ps for item in played) // len(played)


@attrs.define(eq=False)
class _Releases:
    """Which transfers of a window may be issued, and when: a heap of (issue ps, position)."""

    recorded: Sequence[Transfer]
    window: range
    ready: list[tuple[int, int]] = attrs.field(factory=list)
    _released: dict[int, list[int]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for position in self.window:
            transfer = self.recorded[position]
            if transfer.released_by in self.window:
                self._released.setdefault(transfer.released_by, []).append(position)
            else:
                heapq.heappush(self.ready, (transfer.issued_ps, position))

    def ended(self, position: int, end_ps: int) -> None:
        """Let those follow that this transfer's end releases."""
        for follower in self._released.get(position, ()):
            wait = self.recorded[follower].issued_ps - self.recorded[position].end_ps
            heapq.heappush(self.ready, (end_ps + wait, follower))


def play_bulk(recorded: Sequence[Transfer], window: range, params: MachineParams, channels: int) -> list[Played]:
    """A window of the recorded transfers on a bulk network that carries nothing else, in order."""
    network = Network(params.noc, params.cores, channels, params.period_ps)
    releases, played = _Releases(recorded, window), {}
    while releases.ready:
        issued_ps, position = heapq.heappop(releases.ready)
        transfer = recorded[position]
        later = issued_ps - transfer.issued_ps
        end_ps = transfer.call(network, later)
        played[position] = Played(start_ps=transfer.start_ps + later, end_ps=end_ps)
        releases.ended(position, end_ps)
    return [played[position] for position in window]


def play_packets(
    recorded: Sequence[Transfer], window: range, params: MachineParams, wiring: MachineWiring, how: PacketParams
) -> list[Played]:
    """A window of the recorded transfers on a flit-level network that carries nothing else, in order."""
    return _PacketPlay(recorded, window, params, wiring, how).play()


class _PacketPlay:
    """One window on one flit-level network; `due` are packets to come, as (cycle, order, transfer, flow, flits)."""

    def __init__(
        self,
        recorded: Sequence[Transfer],
        window: range,
        params: MachineParams,
        wiring: MachineWiring,
        how: PacketParams,
    ) -> None:
        self.recorded, self.period, self.flit = recorded, params.period_ps, wiring.flit_bytes
        self.network = packet_network(wiring.wiring, how)
        self.releases = _Releases(recorded, window)
        self.window = window
        self.due: list[tuple[int, int, int, int, int]] = []
        self.owner: dict[Packet, int] = {}
        self.left: dict[int, int] = {}
        self.start_ps: dict[int, int] = {}
        self.end_ps: dict[int, int] = {}
        self.turns = {nodes: cycle(nodes) for nodes in (*wiring.cores, *wiring.channels)}

    def play(self) -> list[Played]:
        """Go on until every transfer has ended."""
        network = self.network
        network.cycle = self.releases.ready[0][0] // self.period
        while len(self.end_ps) < len(self.window):
            self._issue()
            self._offer()
            if self.owner:
                network.step()
                self._receive(network.finished)
            else:
                self._idle()
        return [Played(start_ps=self.start_ps[position], end_ps=self.end_ps[position]) for position in self.window]

    def _issue(self) -> None:
        """Make the packets of what has been released by now."""
        ready = self.releases.ready
        while ready and ready[0][0] < (self.network.cycle + 1) * self.period:
            issued_ps, position = heapq.heappop(ready)
            transfer = self.recorded[position]
            later = issued_ps - transfer.issued_ps
            self.start_ps[position] = transfer.start_ps + later
            packets = list(self._packets(transfer, position, later))
            self.left[position] = len(packets)
            for packet in packets:
                heapq.heappush(self.due, packet)

    def _packets(self, transfer: Transfer, position: int, later: int) -> Iterator[tuple[int, int, int, int, int]]:
        for number, flow in enumerate(transfer.flows):
            first = flow.first_ps + later
            for order, before in enumerate(range(0, flow.nbytes, PACKET_BYTES)):
                size = min(PACKET_BYTES, flow.nbytes - before)
                ready = first + (flow.last_ps - flow.first_ps) * (before + size) // flow.nbytes
                yield -(-ready // self.period), order, position, number, -(-size // self.flit)

    def _offer(self) -> None:
        """Hand the network what is there in this cycle."""
        due, network = self.due, self.network
        while due and due[0][0] <= network.cycle:
            _, _, position, number, flits = heapq.heappop(due)
            flow = self.recorded[position].flows[number]
            packet = Packet(next(self.turns[flow.source]), next(self.turns[flow.target]), network.cycle, flits)
            network.offer(packet)
            self.owner[packet] = position

    def _receive(self, finished: list[Packet]) -> None:
        """Account for what has arrived in this cycle."""
        for packet in finished:
            position = self.owner.pop(packet)
            self.left[position] -= 1
            if not self.left[position]:
                self.end_ps[position] = end_ps = packet.delivered * self.period
                self.releases.ended(position, end_ps)
        finished.clear()

    def _idle(self) -> None:
        """Nothing is under way: let the credits come home, then go to the next packet or release."""
        network = self.network
        coming = [row[0][0] for row in (self.due,) if row] + [ready // self.period for ready, _ in self._next_release()]
        for _ in range(min(len(network.wheel), min(coming) - network.cycle)):
            network.step()
        network.cycle = max(network.cycle, min(coming))

    def _next_release(self) -> Iterable[tuple[int, int]]:
        return self.releases.ready[:1]
