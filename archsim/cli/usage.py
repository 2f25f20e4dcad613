"""What the commands share beyond any command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from archsim.console import STDOUT, Parser, UsageError

INTERRUPTED = 130
"""Exit code of a run that was interrupted."""


def add(
    commands: argparse._SubParsersAction[Parser], name: str, command: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A new command that `command` carries out, and its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command)
    return parser


def check_folder(option: str, path: str | None) -> None:
    """Raise UsageError where an option names a file in a folder that is not there."""
    if path not in (None, STDOUT) and not Path(str(path)).parent.is_dir():
        raise UsageError(f"--{option} {path}: there is no folder {Path(str(path)).parent}")
