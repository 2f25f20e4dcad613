"""What a program's run asks of the network: every transfer, and what it waited for.

A transfer is a set of flows between ports: read data come evenly from when a channel has the first byte to when it
has the last, written data are ready at once. It was issued when the core called the network; what released it is
taken to be the last transfer of the same core, one that it sent, received or was sent, that had ended by then. With
that, a list of transfers can be played on another network, each as long after the one that released it as in the run.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence

import attrs

from archsim.components.port import Groups
from archsim.elaborate import build
from archsim.isa.program import Program
from archsim.kernel.simulation import Simulation
from archsim.kernel.transfer import Share
from archsim.machine import MachineParams
from archsim.noc import Network
from archsim.noc.packet_machine import MachineWiring, machine_wiring


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
    """One call of the network, in the run's times.

    `call` repeats it that many ps later and returns its end; `flows` are what it stands for. It was issued at
    `issued_ps` and ended at `end_ps`; `released_by` is the position of the transfer that released it, -1 for none.
    """

    call: Callable[[Network, int], int]
    flows: tuple[Flow, ...]
    issued_ps: int
    end_ps: int
    released_by: int = -1

    @property
    def start_ps(self) -> int:
        """When its first byte is there."""
        return min(flow.first_ps for flow in self.flows)


@attrs.define(eq=False)
class Recorder:
    """Stands between the cores and the network and takes down what passes."""

    network: Network
    wiring: MachineWiring
    sim: Simulation
    transfers: list[Transfer] = attrs.field(factory=list)
    _ends: dict[int, list[tuple[int, int]]] = attrs.field(factory=dict)
    """By core, (end, position) of its transfers, in order."""

    def request_latency_ps(self, core: int) -> int:
        """As the network's."""
        return self.network.request_latency_ps(core)

    def deliver(self, shares: Sequence[Share], core: int) -> tuple[int, bool]:
        """As the network's."""
        target, taken = self.wiring.cores[core], list(shares)
        flows = [
            Flow(
                source=self.wiring.channels[channel],
                target=target,
                nbytes=share.nbytes,
                first_ps=share.first_ps,
                last_ps=share.last_ps,
            )
            for share in taken
            for channel in share.channels
        ]
        found = self.network.deliver(shares, core)
        self._note(deliver_later(taken, core), flows, found[0], (core,))
        return found

    def send_to_memory(self, at_ps: int, groups: Groups, core: int) -> int:
        """As the network's."""
        source, taken = self.wiring.cores[core], list(groups)
        flows = [
            Flow(source=source, target=self.wiring.channels[channel], nbytes=nbytes, first_ps=at_ps, last_ps=at_ps)
            for channels, nbytes in taken
            for channel in channels
        ]
        end = self.network.send_to_memory(at_ps, groups, core)
        self._note(lambda network, later: network.send_to_memory(at_ps + later, taken, core), flows, end, (core,))
        return end

    def put(self, src_core: int, dst_core: int, nbytes: int, at_ps: int) -> tuple[int, int]:
        """As the network's."""
        source, target = self.wiring.cores[src_core], self.wiring.cores[dst_core]
        flow = Flow(source=source, target=target, nbytes=nbytes, first_ps=at_ps, last_ps=at_ps)
        found = self.network.put(src_core, dst_core, nbytes, at_ps)
        self._note(
            lambda network, later: network.put(src_core, dst_core, nbytes, at_ps + later)[1],
            [flow],
            found[1],
            (src_core, dst_core),
        )
        return found

    def _note(
        self, call: Callable[[Network, int], int], flows: list[Flow], end_ps: int, cores: tuple[int, ...]
    ) -> None:
        now, position = self.sim.now, len(self.transfers)
        ended = self._ends.setdefault(cores[0], [])
        before = bisect_right(ended, (now, position))
        self.transfers.append(
            Transfer(
                call=call,
                flows=tuple(flows),
                issued_ps=now,
                end_ps=end_ps,
                released_by=ended[before - 1][1] if before else -1,
            )
        )
        for core in cores:
            insort(self._ends.setdefault(core, []), (end_ps, position))


def deliver_later(shares: Sequence[Share], core: int) -> Callable[[Network, int], int]:
    """The call of a read, for `Transfer.call`."""

    def call(network: Network, later: int) -> int:
        moved = [s._replace(first_ps=s.first_ps + later, last_ps=s.last_ps + later) for s in shares]
        return network.deliver(moved, core)[0]

    return call


def record(program: Program, params: MachineParams) -> list[Transfer]:
    """Run the program and return its transfers in the order of the network's calls; raises as `simulate` does."""
    machine = build(program, params)
    wiring = machine_wiring(params.noc, params.cores, machine.network.channels)
    recorder = Recorder(machine.network, wiring, machine.sim)
    for core in machine.cores:
        core.memory.network = recorder
    machine.sim.run()
    return recorder.transfers
