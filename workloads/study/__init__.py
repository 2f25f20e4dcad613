"""Studies: experiments beside the simulator, each one command `python -m workloads study NAME`."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the study that `argv` names; raises WorkloadError for an unknown one."""
    from workloads.study.cli import main as run

    return run(argv)
