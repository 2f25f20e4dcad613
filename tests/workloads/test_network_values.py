"""Forwards through networks beside the model compute what these compute by themselves."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from tests.workloads.cases import scripted
from tests.workloads.plain_model import Plain, random_weights
from tests.workloads.test_row_masks import SHAPE, TINY, VLEN, forward
from workloads.forwards import Window
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.plan.machine_view import view_of
from workloads.shape import ModelShape
from workloads.tiny.program import FLOAT_OPTIONS

ROWS, START = 24, 16
SCRIPT = (
    forward(0, "warm", 0, ROWS),
    forward(1, "full", 0, ROWS, network="helper", layers=3),
    forward(2, "refine", START, ROWS - START, network="helper", layers=3),
    forward(3, "refine", START, ROWS - START),
    forward(4, "full", 0, ROWS, layers=1),
    forward(5, "full", 0, ROWS, network="other", layers=1),
    forward(6, "refine", START, ROWS - START, network="helper", layers=3),
)
"""Alternately through the model, two networks and the model's first layer, over caches of their own."""
SHAPES = {"plain": SHAPE, "features": attrs.evolve(SHAPE, qkv_bias=True, qk_norm=True)}


def networks(shape: ModelShape) -> dict[str, tuple[ModelShape, dict[str, np.ndarray]]]:
    """Shape and weights of the model and the networks; embedding and head are the model's."""
    own = random_weights(shape, 3)
    shared = {name: own[name] for name in ("embedding.weight", "head.weight")}
    out = {"": (shape, own)}
    for seed, (name, layers) in enumerate((("helper", 3), ("other", 1))):
        other = attrs.evolve(shape, layers=layers)
        out[name] = other, random_weights(other, 10 + seed) | shared
    return out


@pytest.mark.parametrize("count", range(1, len(SCRIPT) + 1))
@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_those_of_the_network(name: str, count: int) -> None:
    shape = SHAPES[name]
    made = networks(shape)
    weights = {
        f"{network}.{key}" if network and key.startswith("layers.") else key: value
        for network, (_, own) in made.items()
        for key, value in own.items()
    }
    canvas = np.random.default_rng(1).integers(0, 60, (1, ROWS))
    window = Window(0, count)
    program, layout = lower_with_layout(shape, scripted(*SCRIPT), view_of(TINY), FLOAT_OPTIONS, window)
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvas))
    archsim.execute(state)
    last = SCRIPT[count - 1]
    stored = archsim.dump_tensors(state)["logits"].view(np.float32)
    found = stored[: last.head_rows * VLEN].reshape(last.head_rows, VLEN)[:, : shape.vocab]
    models = {network: Plain(own, values) for network, (own, values) in made.items()}
    models["short"] = Plain(attrs.evolve(shape, layers=1), made[""][1])
    for each in SCRIPT[:count]:
        model = models["short" if each.layers == 1 and not each.network else each.network]
        wanted = model.forward(canvas[:, each.q_start :], each.q_start, slice(0, each.q_rows))[0]
    np.testing.assert_allclose(found, wanted, atol=2e-3)
