"""What the commands share: the parser, and what they do with names of files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from archsim.errors import ArchsimError

INTERRUPTED = 130
"""Exit code of a run that was interrupted."""


class UsageError(ArchsimError):
    """Arguments that make no command."""


class Parser(argparse.ArgumentParser):
    """A parser that raises what it finds."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add(
    commands: argparse._SubParsersAction[Parser], name: str, command: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A new command that `command` carries out, and its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command)
    return parser


def check_folder(option: str, path: str | None) -> None:
    """Raise UsageError where an option names a file in a folder that is not there."""
    if path not in (None, "-") and not Path(str(path)).parent.is_dir():
        raise UsageError(f"--{option} {path}: there is no folder {Path(str(path)).parent}")


def write_text(path: str, text: str) -> None:
    """Into a file, or to stdout where `path` is "-"."""
    if path == "-":
        print(text, end="")
    else:
        Path(path).write_text(text, encoding="utf-8")
