"""Routers that serve the oldest packet first, to hold what round robin costs against."""

from __future__ import annotations

from archsim.noc.packet import PacketNetwork
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import Wiring


class OldestFirst(PacketNetwork):
    """A `PacketNetwork` whose two allocators go through the heads from the oldest packet to the youngest.

    Each takes what is still free, so no output idles for which an input with nothing older to send has a flit. It is
    not a router that anybody builds, and with few buffers it can be slower than round robin: what is old waits
    behind what is young.
    """

    def _age(self, slot: int) -> tuple[int, int]:
        return self.queues[slot][0][0].created, slot

    def _contest(self, lane: int, slots: list[int], winners: list[int], losers: list[int]) -> None:
        first, mask = lane * self._lane_vcs, self.free[lane]
        outs = [out for out in range(first, first + self._lane_vcs) if mask >> (out - first) & 1]
        by_age = sorted(slots, key=self._age)
        for slot, out in zip(by_age, outs, strict=False):
            self._take_vc(slot, lane, out)
        winners += by_age[: len(outs)]
        losers += by_age[len(outs) :]

    def _allocate_switch(self) -> None:
        room, out_slot, vcs, busy = self.credits, self.out_slot, self.params.vcs, self.busy
        pick: dict[int, int] = {}
        accept: dict[int, int] = {}
        taken: set[int] = set()
        for slot in sorted(self.contending, key=self._age):
            source, out = slot // vcs, out_slot[slot] // vcs
            if room[out_slot[slot]] and source not in accept and out not in taken and out not in busy:
                accept[source] = key = self.pair[slot]
                pick[key] = slot
                taken.add(out)
        self._traverse(accept, pick)


def packet_network(wiring: Wiring, params: PacketParams) -> PacketNetwork:
    """The network with the arbitration that `params` asks for."""
    return (OldestFirst if params.arbitration == "oldest" else PacketNetwork)(wiring, params)
