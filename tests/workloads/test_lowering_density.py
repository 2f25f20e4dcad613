"""Layers that store some of their weights, each with an index; the LM head stores all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.small_view import SMALL, shrunk
from tests.workloads.streams import fetches_weights
from tests.workloads.walk import walk
from workloads.forwards import Window
from workloads.lowering.generation import lower, lower_with_layout
from workloads.lowering.image import image
from workloads.schedules import build_schedule

MODEL = shrunk(2)
FORWARDS = 2


@cache
def program(kept: int, group: int = 4) -> Program:
    schedule = build_schedule("maskllm", prompt=16, gen=16, steps=4, kept=kept, group=group)
    return lower(MODEL, schedule, SMALL, window=Window(0, FORWARDS))


def weights_read(made: Program) -> int:
    """Elements that the weight stream fetches."""
    return sum(
        step.state["m_fetch"][0] * step.state["m_fetch"][1]
        for step in walk(made)
        if fetches_weights(step)
    )


def test_what_is_read_is_the_stored_share_of_the_layers_and_all_of_the_head() -> None:
    dense, sparse = program(4), program(2)
    layers = FORWARDS * MODEL.layers * MODEL.layer_weights
    # The ring is filled once more at the end, with a layer's tiles.
    ring = weights_read(dense) - layers - FORWARDS * padded_head()
    assert ring > 0
    assert weights_read(dense) - weights_read(sparse) == (layers + ring) // 4


def padded_head() -> int:
    return -(-MODEL.vocab // SMALL.blen) * SMALL.blen * MODEL.hidden


def test_products_stay_the_same() -> None:
    counts = [sum(step.mnemonic == "M_MM" for step in walk(program(kept))) for kept in (2, 4)]
    assert counts[0] == counts[1] > 0
    dense, sparse = (program(kept).header.ideal["total"] for kept in (4, 2))
    assert sparse["tensor_cycles"] == dense["tensor_cycles"]
    assert sparse["hbm_bytes"] < dense["hbm_bytes"]


def test_all_weights_are_stored_where_indices_take_more_room() -> None:
    assert weights_read(program(3)) == weights_read(program(4))  # 3/4 of 4 + 2 bits
    assert not any("index" in note for note in program(4).header.notes)
    assert any("index" in note for note in program(2).header.notes)


def test_no_values_without_all_weights() -> None:
    schedule = build_schedule("maskllm", prompt=16, gen=16, steps=4)
    _, layout = lower_with_layout(MODEL, schedule, SMALL)
    with pytest.raises(WorkloadError, match=r"0\.75 of them are stored; expected all"):
        image(layout, {}, np.zeros((1, layout.tables.token_pitch), np.int64))
