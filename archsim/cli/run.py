"""`archsim run`: a trace on a machine, with a report, values, tables and a timeline."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from archsim.cli.usage import INTERRUPTED, add, check_folder
from archsim.console import STDOUT, Parser, UsageError, write_text

if TYPE_CHECKING:
    from archsim.isa.program import Program
    from archsim.kernel.observer import Observer
    from archsim.results import RunResult

DEFAULT_MACHINE = "dart-2048"
"""For programs that name no machine."""


def add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command and its options."""
    run = add(commands, "run", _run, "run a trace on a machine and report")
    run.add_argument("trace", metavar="TRACE", help="trace or assembly file, text or binary, gzip allowed")
    run.add_argument(
        "--machine",
        metavar="NAME|FILE",
        help=f"preset or TOML file (default: the machine the trace was made for, else {DEFAULT_MACHINE})",
    )
    run.add_argument("--issue", choices=("serial", "overlap"), help="issue mode (default: the machine's own)")
    run.add_argument(
        "--replay",
        choices=("on", "off"),
        help="skip loop iterations that repeat exactly; spreads refresh evenly (default: on; with values off)",
    )
    run.add_argument("--values", metavar="FILE", help="compute values too, from the tensors of this .npz file")
    run.add_argument("--dump", metavar="FILE", help="write all values at the end as an .npz file")
    run.add_argument("--functional-only", action="store_true", help="compute values in program order, without time")
    run.add_argument(
        "--acts", choices=("bf16", "fp32"), default="bf16", help="what vectors and FP registers hold (default: bf16)"
    )
    run.add_argument("--json", metavar="FILE|-", help="write all statistics as JSON; -: to stdout, not the text")
    run.add_argument("--csv", metavar="DIR", help="write the tables as CSV files into DIR")
    run.add_argument("--timeline", metavar="FILE", help="write a timeline for ui.perfetto.dev")
    run.add_argument("-v", "--verbose", action="store_true", help="show progress on the terminal")


def _run(arguments: argparse.Namespace) -> int:
    from archsim import simulate
    from archsim.isa.trace import read_program
    from archsim.machine import load_machine

    _check_outputs(arguments)
    program = read_program(arguments.trace)
    params = load_machine(arguments.machine or _made_for(program))
    values = None
    if arguments.values or arguments.dump or arguments.functional_only:
        from archsim.functional import execute, read_state, write_state

        values = read_state(program, params, arguments.acts, arguments.values)
    complete = True
    if values is not None and arguments.functional_only:
        print(f"{execute(values)} instructions executed")
    else:
        with contextlib.ExitStack() as stack:
            observers = _observers(arguments, program, stack)
            replay = arguments.replay == "on" if arguments.replay else values is None
            result = simulate(program, params, issue=arguments.issue, observers=observers, replay=replay, values=values)
        _write(result, arguments)
        complete = result.complete
    if values is not None and arguments.dump:
        write_state(values, arguments.dump)
    return 0 if complete else INTERRUPTED


def _made_for(program: Program) -> str:
    """The machine that the program's header names, or the default."""
    name = program.header.requires.get("machine")
    return name if isinstance(name, str) else DEFAULT_MACHINE


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Find out before a long run, not after it, that a report has nowhere to go; raises UsageError."""
    for option in ("json", "timeline", "dump"):
        check_folder(option, getattr(arguments, option))
    if arguments.csv is not None and Path(arguments.csv).exists() and not Path(arguments.csv).is_dir():
        raise UsageError(f"--csv {arguments.csv}: a file; expected a folder, or a name for a new one")


def _observers(
    arguments: argparse.Namespace, program: Program, stack: contextlib.ExitStack
) -> tuple[Observer, ...]:
    observers: list[Observer] = []
    if arguments.timeline:
        from archsim.report.timeline import open_timeline

        observers.append(stack.enter_context(open_timeline(Path(arguments.timeline), program.header.phases)))
    if arguments.verbose:
        from archsim.report.progress import Progress

        progress = Progress()
        stack.callback(progress.close)
        observers.append(progress)
    return tuple(observers)


def _write(result: RunResult, arguments: argparse.Namespace) -> None:
    if arguments.json != STDOUT:
        from archsim.report.text import render

        print(render(result), end="")
    if arguments.json:
        from archsim.report.jsonout import dumps

        write_text(arguments.json, dumps(result))
    if arguments.csv:
        from archsim.report.csvout import write

        write(result, Path(arguments.csv))
