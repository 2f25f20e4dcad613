"""The on-chip network: topology, deterministic routes, and links whose time is booked in bulk."""

from archsim.noc.network import LinkUse, Network
from archsim.noc.params import CustomLink, CustomNode, NocParams
from archsim.noc.topology import build_topology

__all__ = ["CustomLink", "CustomNode", "LinkUse", "Network", "NocParams", "build_topology"]
