"""Studies: experiments beside the simulator, each one command `python -m workloads study NAME`."""

from __future__ import annotations

import os


def main(argv: list[str]) -> int:
    """Run the study that `argv` names; raises WorkloadError for an unknown one."""
    # Matrices are small here: threads under numpy wait for each other more than they compute; --jobs uses the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from workloads.study.cli import main as run

    return run(argv)
