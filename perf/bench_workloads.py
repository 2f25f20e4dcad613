"""Trace generation: the flagship's first warm and refine forward, and its whole generation."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyperf
from inputs import lower


def main() -> None:
    runner = pyperf.Runner(processes=3, values=2, warmups=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flagship.trace"
        runner.bench_func("workloads: lower LLaDA-8B, forwards 0:2", lower, "0:2", path)
        runner.bench_func("workloads: lower LLaDA-8B, all 256 forwards", lower, "0:256", path)


if __name__ == "__main__":
    main()
