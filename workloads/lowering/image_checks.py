"""What weights and canvases must be like before they become a program's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from archsim.errors import WorkloadError
from workloads.lowering.layout import Layout

Floats: TypeAlias = npt.NDArray[np.float32]


def check_canvases(layout: Layout, canvases: npt.NDArray[np.int64]) -> None:
    """Raise WorkloadError for canvases of another shape or with other tokens, and for programs that take no values."""
    view = layout.dims.view
    expected = (layout.sequences, layout.tables.token_pitch)
    if canvases.shape != expected:
        raise WorkloadError(f"canvases: shape {canvases.shape}; expected {expected}, sequences and tokens")
    if layout.dims.weight_share < 1:
        raise WorkloadError(f"weights: {layout.dims.weight_share:g} of them are stored; expected all, for values")
    if view.cores > 1:
        raise WorkloadError(f"machine {view.name}: {view.cores} cores; expected 1, weights are not divided here")


    known = layout.dims.model.vocab + layout.dims.model.input_only
    wrong = (canvases < 0) | (canvases >= known)
    if wrong.any():
        sequence, token = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        found = f"canvases: token {canvases[sequence, token]} at [{sequence}, {token}]"
        raise WorkloadError(f"{found}; expected 0..{known - 1}")


def check_numbers(weights: Mapping[str, Floats]) -> None:
    """Raise WorkloadError where a weight is not finite."""
    for name, values in weights.items():
        wrong = ~np.isfinite(values)
        if wrong.any():
            place = [int(index) for index in np.unravel_index(int(np.argmax(wrong)), wrong.shape)]
            raise WorkloadError(f"weights: {name}{place} is {values[tuple(place)]}; expected finite numbers")


def check_heads(layout: Layout, kind: str, matrix: Floats, name: str) -> None:
    """Raise WorkloadError for a projection whose heads are not the model's."""
    model = layout.dims.model
    heads = {"q": model.q_width, "k": model.kv_width, "v": model.kv_width, "o": model.q_width}.get(kind)
    expected = (model.hidden, heads) if kind == "o" else (heads, model.hidden)
    if heads is not None and matrix.shape != expected:
        raise WorkloadError(f"weights: {name} of shape {matrix.shape}; expected {expected}")
