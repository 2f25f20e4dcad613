"""The network flit by flit: input-queued virtual-channel routers with wormhole flow control.

A head flit spends one cycle each in VC allocation, switch allocation and switch traversal, then crosses the
link; the route is known on arrival. Body flits skip VC allocation. Every (input, virtual channel) has its own
buffer, and a credit goes back when a flit leaves it. Both allocators are iSLIP (McKeown 1999) with one
iteration: outputs grant, inputs accept, round robin moves on acceptance. The next packet may take an output
virtual channel in the cycle after the tail has been sent into it.

At zero load a packet takes 4 cycles for each router, 2 more for injection and one for each flit after the
first. A flit occupies a link for one cycle, or for the link's own interval.

The model is that of the `iq` router of BookSim 2 (Jiang et al., ISPASS 2013) without speculation.
"""

from __future__ import annotations

from collections import deque

import attrs

from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import Wiring

_IDLE, _WAITING, _ACTIVE = range(3)


@attrs.define(eq=False)
class Packet:
    """One packet: end nodes, length, and the cycles in which it was created, its head sent and its tail received."""

    src: int
    dst: int
    created: int
    flits: int
    injected: int = -1
    delivered: int = -1


_Flit = tuple[Packet, bool]  # whether it is the packet's tail


class PacketNetwork:
    """All routers, links, sources and sinks of one network, advanced by `step` one cycle at a time.

    State, by slot = link * vcs + vc (a lane's slots are neighbours): `queues`, `credits`
    (free places downstream), `state`, `want` (lane asked for), `out_slot`, `pair` (output and input link).
    By lane: `free`, a bit for each virtual channel without an owner. `waiting` are slots before VC allocation,
    `contending` those with an output and a flit. Round robin: `vc_grant` and `vc_accept` by slot,
    `switch_grant` and `switch_accept` by link, `vc_turn` by input link. `wheel` and `credit_wheel` hold
    what is on the wires, by cycle modulo their length. `backlog` holds each node's packets not yet sent whole.

    `finished` collects packets received whole until the caller empties it; `flits_out` counts received flits.
    """

    def __init__(self, wiring: Wiring, params: PacketParams) -> None:
        params.check_lanes(wiring.lanes)
        self.wiring, self.params = wiring, params
        self.cycle = self.flits_out = 0
        self.finished: list[Packet] = []
        self._links = links = len(wiring.ends)
        self._lane_vcs = params.vcs // wiring.lanes
        self._sources = wiring.router_links * params.vcs
        self._sinks = (wiring.router_links + wiring.nodes) * params.vcs
        slots = links * params.vcs
        self.queues: list[deque[_Flit]] = [deque() for _ in range(slots)]
        self.credits = [params.buffer] * slots
        self.state = [_IDLE] * slots
        self.want, self.out_slot, self.pair = [-1] * slots, [-1] * slots, [-1] * slots
        self.free = [(1 << self._lane_vcs) - 1] * (links * wiring.lanes)
        self.waiting: list[int] = []
        self.contending: dict[int, None] = {}
        self.vc_grant, self.vc_accept = [0] * slots, [0] * slots
        self.switch_grant, self.switch_accept, self.vc_turn = [0] * links, [0] * links, [0] * links
        self._flight, self._return = wiring.delays()
        self._slow = {link: cycles for link, cycles in enumerate(wiring.interval) if cycles > 1}
        self.busy: dict[int, int] = {}
        span = max(self._flight + self._return) + 1
        self.wheel: list[list[tuple[int, _Flit]]] = [[] for _ in range(span)]
        self.credit_wheel: list[list[int]] = [[] for _ in range(span)]
        self.backlog: list[deque[Packet]] = [deque() for _ in range(wiring.nodes)]
        self.sending: dict[int, None] = {}
        self._left = [0] * wiring.nodes
        self._source_slot = [self._sources + node * params.vcs - 1 for node in range(wiring.nodes)]

    def offer(self, packet: Packet) -> None:
        """Put a packet at the end of its source's queue, which has no limit."""
        self.backlog[packet.src].append(packet)
        self.sending[packet.src] = None

    def step(self) -> None:
        """Advance one cycle: what arrives, what is sent, then both allocators on what stands in the buffers."""
        turn = self.cycle % len(self.wheel)
        returned = self.credit_wheel[turn]
        for slot in returned:
            self.credits[slot] += 1
        returned.clear()
        arrived = self.wheel[turn]
        if arrived:
            self._arrive(arrived)
            arrived.clear()
        if self.busy:
            self.busy = {link: until for link, until in self.busy.items() if until > self.cycle}
        if self.sending:
            self._inject()
        won = self._allocate_vcs() if self.waiting else ()
        if self.contending:
            self._allocate_switch()
        for slot in won:
            self.contending[slot] = None
        self.cycle += 1

    @property
    def in_flight(self) -> int:
        """Flits in buffers and on wires."""
        return sum(map(len, self.queues)) + sum(map(len, self.wheel))

    def _arrive(self, arrived: list[tuple[int, _Flit]]) -> None:
        queues, state, vcs, sinks = self.queues, self.state, self.params.vcs, self._sinks
        for slot, flit in arrived:
            if slot >= sinks:
                self._receive(slot, flit)
                continue
            queue = queues[slot]
            queue.append(flit)
            status = state[slot]
            if status == _IDLE:
                state[slot] = _WAITING
                self.want[slot] = self.wiring.onward[slot // vcs][flit[0].dst]
                self.waiting.append(slot)
            elif status == _ACTIVE and len(queue) == 1:
                self.contending[slot] = None

    def _receive(self, slot: int, flit: _Flit) -> None:
        wheel = self.credit_wheel
        wheel[(self.cycle + self._return[slot // self.params.vcs]) % len(wheel)].append(slot)
        self.flits_out += 1
        if flit[1]:
            flit[0].delivered = self.cycle
            self.finished.append(flit[0])

    def _inject(self) -> None:
        """Every source with a packet sends its next flit, if a virtual channel has room for it."""
        room, vcs, now = self.credits, self.params.vcs, self.cycle
        for node in list(self.sending):
            if self.busy and self.wiring.router_links + node in self.busy:
                continue
            packet = self.backlog[node][0]
            left = self._left[node]
            if left:
                slot = self._source_slot[node]
                if not room[slot]:
                    continue
            else:
                slot = self._choose_vc(node)
                if slot < 0:
                    continue
                self._source_slot[node] = slot
                left = packet.flits
                packet.injected = now
            room[slot] -= 1
            self._left[node] = left = left - 1
            wheel = self.wheel
            # A source has no switch to cross, so its flit is one cycle earlier than a router's.
            wheel[(now + self._flight[slot // vcs] - 1) % len(wheel)].append((slot, (packet, not left)))
            if slot // vcs in self._slow:
                self.busy[slot // vcs] = now + self._slow[slot // vcs]
            if not left:
                self.backlog[node].popleft()
                if not self.backlog[node]:
                    del self.sending[node]

    def _choose_vc(self, node: int) -> int:
        """The next slot with room after the last one used, or -1."""
        vcs, room = self.params.vcs, self.credits
        base = self._sources + node * vcs
        last = self._source_slot[node] - base
        for ahead in range(1, vcs + 1):
            slot = base + (last + ahead) % vcs
            if room[slot]:
                return slot
        return -1

    def _allocate_vcs(self) -> list[int]:
        """Heads ask for all free virtual channels of their lane; returns the slots that got one."""
        free, want = self.free, self.want
        asked: dict[int, list[int]] = {}
        losers: list[int] = []
        for slot in self.waiting:
            lane = want[slot]
            if not free[lane]:
                losers.append(slot)
            elif lane in asked:
                asked[lane].append(slot)
            else:
                asked[lane] = [slot]
        winners: list[int] = []
        for lane, slots in asked.items():
            if len(slots) == 1:
                slot = slots[0]
                first = lane * self._lane_vcs
                shift = self.vc_accept[slot] - first
                mask = free[lane]
                mask = (mask >> shift << shift if shift > 0 else mask) or mask
                self._take_vc(slot, lane, first + (mask & -mask).bit_length() - 1)
                winners.append(slot)
            else:
                self._contest(lane, slots, winners, losers)
        self.waiting = losers
        return winners

    def _contest(self, lane: int, slots: list[int], winners: list[int], losers: list[int]) -> None:
        """Every free virtual channel grants one of `slots`; each slot accepts one of its grants."""
        total, mask, first = len(self.state), self.free[lane], lane * self._lane_vcs
        accepted: dict[int, int] = {}
        for out in range(first, first + self._lane_vcs):
            if mask >> (out - first) & 1:
                turn = self.vc_grant[out]
                slot = min(slots, key=lambda rival: (rival - turn) % total)
                turn = self.vc_accept[slot]
                other = accepted.get(slot)
                if other is None or (out - turn) % total < (other - turn) % total:
                    accepted[slot] = out
        for slot in slots:
            if slot in accepted:
                self._take_vc(slot, lane, accepted[slot])
                winners.append(slot)
            else:
                losers.append(slot)

    def _take_vc(self, slot: int, lane: int, out: int) -> None:
        self.free[lane] ^= 1 << out % self._lane_vcs
        self.vc_grant[out] = slot + 1
        self.vc_accept[slot] = out + 1
        self.out_slot[slot] = out
        self.pair[slot] = out // self.params.vcs * self._links + slot // self.params.vcs
        self.state[slot] = _ACTIVE

    def _allocate_switch(self) -> None:
        """One flit at most leaves each input and enters each output."""
        room, out_slot, pair, links = self.credits, self.out_slot, self.pair, self._links
        vcs, vc_turn, busy = self.params.vcs, self.vc_turn, self.busy
        pick: dict[int, int] = {}
        for slot in self.contending:
            if room[out_slot[slot]] and not (busy and out_slot[slot] // vcs in busy):
                key = pair[slot]
                if key in pick:
                    turn = vc_turn[key % links]
                    if (pick[key] - turn) % vcs < (slot - turn) % vcs:
                        continue
                pick[key] = slot
        grant: dict[int, int] = {}
        turns = self.switch_grant
        for key in pick:
            out = key // links
            if out in grant:
                turn = turns[out]
                if (grant[out] - turn) % links < (key - turn) % links:
                    continue
            grant[out] = key
        accept: dict[int, int] = {}
        turns = self.switch_accept
        for out, key in grant.items():
            source = key - out * links
            if source in accept:
                turn = turns[source]
                if (accept[source] // links - turn) % links < (out - turn) % links:
                    continue
            accept[source] = key
        self._traverse(accept, pick)

    def _traverse(self, accept: dict[int, int], pick: dict[int, int]) -> None:
        """Send the winners' flits; a tail frees its output virtual channel and wakes the packet behind it."""
        links, now, wheel, credit_wheel = self._links, self.cycle, self.wheel, self.credit_wheel
        span = len(wheel)
        for source, key in accept.items():
            slot, out = pick[key], key // links
            self.switch_grant[out] = source + 1
            self.switch_accept[source] = out + 1
            self.vc_turn[source] = slot + 1
            queue, target = self.queues[slot], self.out_slot[slot]
            flit = queue.popleft()
            self.credits[target] -= 1
            wheel[(now + self._flight[out]) % span].append((target, flit))
            if out in self._slow:
                self.busy[out] = now + self._slow[out]
            credit_wheel[(now + self._return[source]) % span].append(slot)
            if flit[1]:
                del self.contending[slot]
                self.free[self.want[slot]] |= 1 << target % self._lane_vcs
                if queue:
                    self.state[slot] = _WAITING
                    self.want[slot] = self.wiring.onward[source][queue[0][0].dst]
                    self.waiting.append(slot)
                else:
                    self.state[slot] = _IDLE
            elif not queue:
                del self.contending[slot]
