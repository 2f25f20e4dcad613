"""A small machine view and a model shrunk to it, for tests that walk through programs."""

from __future__ import annotations

from workloads.lowering.plan.machine_view import MachineView, matrix_cells
from workloads.models import load_model
from workloads.shape import ModelShape

SMALL = MachineView(
    name="small", cores=1, mlen=256, blen=16, hlen=32, vlen=256, matrix_cells=matrix_cells(1 << 20),
    vector_vectors=4096, fp_words=1024, int_words=8192, kv_slots=256, hbm_bytes=1 << 30, channels=2,
    layer_stride_bytes=1 << 14, stripe_bytes=1 << 9,
)  # fmt: skip


def shrunk(layers: int, name: str = "llada-8b") -> ModelShape:
    """The model with layers of a weight tile's width, eight heads without groups."""
    return load_model(name).shrunk(layers=layers, hidden=256, heads=8, kv_heads=8, head_dim=32, ffn=256, vocab=1000)


MODEL = shrunk(3)
