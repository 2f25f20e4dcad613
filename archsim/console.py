"""What command lines share: a parser whose errors are ours, and text that goes into a file or to stdout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from archsim.errors import ArchsimError

STDOUT = "-"


class UsageError(ArchsimError):
    """Arguments that make no command."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors join the others: one line, no usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing and leaving."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def write_text(path: str, text: str) -> None:
    """Into a file, or to stdout where `path` is "-"; raises UsageError for a file that cannot be written."""
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a file that can be written") from None


def text_or_json(text: str, json_text: str, json_path: str | None) -> str:
    """What a command prints, given its --json: the JSON where that is "-", else the text; writes any other file."""
    if json_path == STDOUT:
        return json_text
    if json_path:
        write_text(json_path, json_text)
    return text
