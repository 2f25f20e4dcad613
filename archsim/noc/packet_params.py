"""What a user may say about the flit-level network, beyond its topology."""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.validate import one_of, positive

ARBITRATIONS = ("round-robin", "oldest")


@attrs.frozen(kw_only=True)
class PacketParams:
    """Virtual channels of each link, buffer places (flits) of each, flits of every packet; whom a router serves first.

    Defaults are the oracle's. Raises BadValue for counts below 1 and other arbitrations than `ARBITRATIONS`.
    """

    vcs: int = attrs.field(default=4, validator=positive)
    buffer: int = attrs.field(default=8, validator=positive)
    packet_flits: int = attrs.field(default=1, validator=positive)
    arbitration: str = attrs.field(default="round-robin", validator=one_of(*ARBITRATIONS))

    def check_lanes(self, lanes: int) -> None:
        """Raise ConfigError if the virtual channels cannot be split evenly into `lanes`."""
        if self.vcs % lanes:
            raise ConfigError("vcs", self.vcs, f"a multiple of {lanes}: this topology wraps, so channels are split")
