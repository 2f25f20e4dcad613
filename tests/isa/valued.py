"""Running a few instructions on a small state, for tests of what they compute. MLEN 64, BLEN 8, HLEN 16."""

from __future__ import annotations

from typing import Any

import numpy as np

from archsim import execute, load_tensors, new_state
from archsim.isa.semantics.state import CoreState
from tests.system.small import VLEN, integers, machine, program

BF16 = {"weights": "bf16", "kv": "bf16", "activations": "bf16", "vector_hbm": "bf16"}
FP32 = dict.fromkeys(BF16, "fp32")


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Vectors of whole eighths between -4 and 4, exact in BF16."""
    return (np.random.default_rng(seed).integers(-32, 33, (count, VLEN)) / 8).astype(np.float32)


def core_after(
    text: str, *, acts: str = "fp32", formats: dict[str, str] | None = None, tensors: dict[str, Any] | None = None,
    sections: dict[str, Any] | None = None, **registers: int,
) -> CoreState:  # fmt: skip
    """The core after setting registers and running the text."""
    made = program(integers(**registers) + text, formats=formats or FP32)
    state = new_state(made, machine(**(sections or {})), acts)
    load_tensors(state, tensors or {})
    execute(state)
    return state.cores[0]
