"""The command line."""

from archsim.cli.command import main

__all__ = ["main"]
