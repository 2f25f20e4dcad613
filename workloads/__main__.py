"""`python -m workloads`: list models and schedules, show a schedule, run a study, or lower a model to a trace."""

from __future__ import annotations

import importlib
import os
import sys

from archsim.errors import ArchsimError

USAGE = """\
usage: python -m workloads list                             models and schedules by name
       python -m workloads schedule NAME [options]          row counts of every forward
       python -m workloads study NAME [options]             an experiment beside the simulator
       python -m workloads MODEL --schedule NAME [options]  lower a model to a program
Each takes --help."""

# Command to (module, function); modules are imported when asked for, so that start-up stays light.
COMMANDS = {
    "list": ("workloads.cli", "list_main"),
    "schedule": ("workloads.cli", "schedule_main"),
    "study": ("workloads.study", "main"),
}
PIPE_CLOSED = 141
"""Exit status when the reader of the output has gone, as of a program ended by SIGPIPE."""
LOWER = ("workloads.lowering.cli", "main")


def main(argv: list[str]) -> int:
    """Run one command and return its exit status; a user's error is one line on standard error."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    module, function = COMMANDS.get(argv[0], LOWER)
    try:
        run = getattr(importlib.import_module(module), function)
        code = int(run(argv[1:] if argv[0] in COMMANDS else argv))
        sys.stdout.flush()
        return code
    except ArchsimError as error:
        print(f"workloads: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; point it elsewhere so that nothing fails at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
