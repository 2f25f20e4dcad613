"""`archsim compare`: generation methods side by side on one machine, from a sample of their forwards."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the command that `argv` gives; 1 where nothing ran. Raises ArchsimError for bad arguments."""
    from workloads.compare.cli import main as run

    return run(argv)
