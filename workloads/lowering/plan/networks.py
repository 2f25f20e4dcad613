"""The model and the networks beside it: how many layers each has, and where they stand among all layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import attrs

from archsim.errors import WorkloadError
from workloads.shape import ModelShape


class Routed(Protocol):
    """A forward, or a class of them: what it runs through."""

    @property
    def network(self) -> str:
        """Empty: the model."""
        ...

    @property
    def layers(self) -> int:
        """Layers that run; 0: all."""
        ...


@attrs.frozen
class Networks:
    """Layers of the model, whose name is empty, and then of every other network that forwards go through.

    All have the model's width, and its embedding and LM head; weights, biases and KV cache are each one's own.
    """

    depths: dict[str, int]

    @property
    def total(self) -> int:
        """Layers of all of them."""
        return sum(self.depths.values())

    @property
    def several(self) -> bool:
        """Whether forwards go through other networks than the model."""
        return len(self.depths) > 1

    def first(self, name: str) -> int:
        """Number of a network's first layer, counted over all of them."""
        names = list(self.depths)
        return sum(self.depths[before] for before in names[: names.index(name)])

    def layers(self, route: Routed) -> int:
        """Layers that a forward runs."""
        return route.layers or self.depths[route.network]

    def notes(self) -> tuple[str, ...]:
        """What a program's header says of the networks beside the model."""
        return tuple(
            f"network {name}: {layers} layers of the model's width with weights and KV cache of their own; "
            "embedding and LM head are the model's"
            for name, layers in self.depths.items()
            if name
        )


def refuse_networks(model: ModelShape, networks: Networks, routes: Iterable[Routed]) -> None:
    """Raise WorkloadError where forwards of a model with experts run other layers than all of its own."""
    odd = next((route for route in routes if route.network or networks.layers(route) != model.layers), None)
    if odd is not None:
        found = f"a forward through {networks.layers(odd)} layers of {odd.network or 'the model'}"
        raise WorkloadError(f"model {model.name}: {found}; expected all layers of a model with experts")


def find_networks(depth: int, routes: Iterable[Routed]) -> Networks:
    """The model of `depth` layers and what else the forwards go through.

    A network of no stated depth has as many layers as the model. Raises WorkloadError where those do not suffice
    for a forward through the model.
    """
    depths = {"": depth}
    for route in routes:
        if not route.network and route.layers > depth:
            raise WorkloadError(f"forward of {route.layers} layers; expected at most the {depth} of the model")
        depths[route.network] = max(depths.get(route.network, 0), route.layers or depth)
    return Networks(depths)
