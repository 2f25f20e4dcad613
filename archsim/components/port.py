"""A core's way to the HBM: memory channels and network in one booking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import attrs

from archsim.kernel.snapshot import Visitor
from archsim.kernel.transfer import Share

Extents: TypeAlias = Sequence[tuple[int, int]]

Groups: TypeAlias = Sequence[tuple[tuple[int, ...], int]]
"""(channels, bytes on each of them)."""


class Memory(Protocol):
    """What a core needs of a memory: one call books a whole transfer on all channels."""

    def access(self, at_ps: int, extents: Extents, write: bool) -> list[Share]:
        """Book extents of (byte address, bytes) that reach the channels at `at_ps`."""
        ...

    def shares(self, extents: Extents) -> Groups:
        """(channels, bytes on each) of a transfer, without booking it."""
        ...


class Network(Protocol):
    """What a core needs of the network."""

    def request_latency_ps(self, core: int) -> int:
        """Latency of a command from the core to the memory."""
        ...

    def deliver(self, shares: Sequence[Share], core: int) -> tuple[int, bool]:
        """Carry read data to the core: (last byte's arrival, whether a link decided it)."""
        ...

    def send_to_memory(self, at_ps: int, groups: Groups, core: int) -> int:
        """Carry written data to the channels: last byte's arrival."""
        ...

    def put(self, src_core: int, dst_core: int, nbytes: int, at_ps: int) -> tuple[int, int]:
        """Carry data from core to core: (first, last) byte's arrival."""
        ...


@attrs.define(eq=False)
class MemoryPort:
    """Core `core`'s port on the network; every HBM byte it moves crosses links."""

    core: int
    memory: Memory
    network: Network
    period_ps: int
    read_bytes: int = 0
    write_bytes: int = 0
    delivered_bytes: int = 0
    _request_ps: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._request_ps = self.network.request_latency_ps(self.core)

    def replay(self, visitor: Visitor) -> None:
        """Bytes moved."""
        self.read_bytes = visitor.count(self.read_bytes)
        self.write_bytes = visitor.count(self.write_bytes)
        self.delivered_bytes = visitor.count(self.delivered_bytes)

    def read(self, at_ps: int, extents: Extents) -> tuple[int, str]:
        """Read from HBM, the command leaving at `at_ps`: (last byte's arrival, what bounds it)."""
        shares = self.memory.access(at_ps + self._request_ps, extents, False)
        finish, by_link = self.network.deliver(shares, self.core)
        for share in shares:
            self.delivered_bytes += share.nbytes * len(share.channels)
        for _, size in extents:
            self.read_bytes += size
        return self.edge(finish), "noc" if by_link else "hbm"

    def write(self, at_ps: int, extents: Extents) -> tuple[int, str]:
        """Write to HBM, data leaving from `at_ps`: (when the channels have taken it, what took longer)."""
        groups = self.memory.shares(extents)
        arrival = self.network.send_to_memory(at_ps, groups, self.core)
        shares = self.memory.access(arrival, extents, True)
        for share in shares:
            self.delivered_bytes += share.nbytes * len(share.channels)
        for _, size in extents:
            self.write_bytes += size
        last = max(share.last_ps for share in shares)
        return self.edge(last), "noc" if arrival - at_ps > last - arrival else "hbm"

    def edge(self, time_ps: int) -> int:
        """The core sees what comes from the memory's clock at its own next edge."""
        return -(-time_ps // self.period_ps) * self.period_ps
