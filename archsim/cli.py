"""The command line: arguments, load, run, report, exit codes.

Exit codes: 0 done; 1 the program failed on the machine (deadlock, memory fault), or a figure of `validate` misses
its tolerance; 2 bad input;
130 interrupted (the partial report is printed); 141 the reader of our output went away.
Heavy modules are imported where they are used, so that `--help` comes at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from archsim.errors import ArchsimError

if TYPE_CHECKING:
    from archsim.isa.program import Program
    from archsim.kernel.observer import Observer
    from archsim.results import RunResult

DEFAULT_MACHINE = "dart-2048"
INTERRUPTED = 130
PIPE_CLOSED = 141

_VALIDATIONS: dict[str, tuple[str, ...]] = {
    "sampler": ("workloads.validate",),
    "hbm": ("archsim.micro.hbm_oracle",),
    "gemm": ("archsim.micro.gemm_oracle",),
    "noc": ("archsim.micro.noc_oracle", "workloads.validate_noc"),
}
"""What can be validated: name -> modules whose `rows(full)` make its part of the table."""

_MICRO = {"gemm": "archsim.micro.gemm", "hbm": "archsim.micro.hbm", "noc": "archsim.micro.noc"}
"""Measurements of one part: name -> module whose `main(arguments)` makes the text."""

_COMPARE = "workloads.compare"
"""Its `main(options)` carries out `compare`."""


class UsageError(ArchsimError):
    """Arguments that make no command."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line `argv` (default: the process's own) and return its exit code."""
    try:
        code = _command(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except ArchsimError as error:
        return _complain(error, error.exit_code)
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    return code


def _complain(error: object, code: int) -> int:
    print(f"archsim: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(argv: list[str]) -> int:
    parser, names = _parser()
    if argv and argv[0] not in names and argv[0] not in ("-h", "--help"):
        argv = ["run", *argv]
    if not argv:
        parser.print_help()
        return 2
    arguments, others = parser.parse_known_args(argv)
    if arguments.command is _compare:
        arguments.options = others
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = _Parser(
        prog="archsim",
        allow_abbrev=False,
        description="Discrete-event simulator of NPUs for diffusion language models.",
        epilog="`archsim TRACE` is short for `archsim run TRACE`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    machine = _add(commands, "machine", _machine, "list the machines, or show one")
    machine.add_argument("name", nargs="?", metavar="NAME", help="preset or TOML file")
    machine.add_argument("--dump", action="store_true", help="print every parameter, resolved, as TOML")
    _add(commands, "isa", _isa, "list the instruction set")
    _add_validate(commands)
    micro = _add(commands, "micro", _micro, "measure one part of a machine by itself")
    micro.add_argument("part", choices=sorted(_MICRO))
    micro.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="see `archsim micro PART --help`")
    # No argument is declared, so that all of them are left over, in order, and handed on.
    compare = commands.add_parser(
        "compare", help="generation methods side by side on one machine", add_help=False, allow_abbrev=False
    )
    compare.set_defaults(command=_compare)
    asm = _add(commands, "asm", _asm, "assemble a program into a trace")
    asm.add_argument("file", metavar="FILE")
    asm.add_argument("-o", "--output", required=True, metavar="OUT", help="trace to write; .gz compresses")
    asm.add_argument("--binary", action="store_true", help="write instruction words, not text")
    disasm = _add(commands, "disasm", _disasm, "print the instructions of a trace")
    disasm.add_argument("file", metavar="FILE")
    return parser, list(commands.choices)


def _add(
    commands: argparse._SubParsersAction[_Parser], name: str, command: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command)
    return parser


def _add_validate(commands: argparse._SubParsersAction[_Parser]) -> None:
    validate = _add(commands, "validate", _validate, "compare with the figures of other tools and papers")
    validate.add_argument("part", nargs="?", choices=("all", *_VALIDATIONS), default="all", help="default: all")
    validate.add_argument("--full", action="store_true", help="every row, not a selection of minutes")
    validate.add_argument("--json", metavar="FILE|-", help="write the rows as JSON; -: to stdout, not the table")


def _add_run(commands: argparse._SubParsersAction[_Parser]) -> None:
    run = _add(commands, "run", _run, "run a trace on a machine and report")
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
        _check_folder(option, getattr(arguments, option))
    if arguments.csv is not None and Path(arguments.csv).exists() and not Path(arguments.csv).is_dir():
        raise UsageError(f"--csv {arguments.csv}: a file; expected a folder, or a name for a new one")


def _check_folder(option: str, path: str | None) -> None:
    if path not in (None, "-") and not Path(str(path)).parent.is_dir():
        raise UsageError(f"--{option} {path}: there is no folder {Path(str(path)).parent}")


def _write_text(path: str, text: str) -> None:
    """Into a file, or to stdout where `path` is "-"."""
    if path == "-":
        print(text, end="")
    else:
        Path(path).write_text(text, encoding="utf-8")


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
    if arguments.json != "-":
        from archsim.report.text import render

        print(render(result), end="")
    if arguments.json:
        from archsim.report.jsonout import dumps

        _write_text(arguments.json, dumps(result))
    if arguments.csv:
        from archsim.report.csvout import write

        write(result, Path(arguments.csv))


def _machine(arguments: argparse.Namespace) -> int:
    from archsim.machine import dump_machine, load_machine, preset_names

    if arguments.name:
        print(dump_machine(load_machine(arguments.name)), end="")
    elif arguments.dump:
        raise UsageError("machine --dump: which one? expected a preset or a TOML file")
    else:
        print("\n".join(preset_names()))
    return 0


def _isa(_arguments: argparse.Namespace) -> int:
    from archsim.isa.reference import isa_listing

    print(isa_listing().rstrip("\n"))
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from archsim.micro import validation

    _check_folder("json", arguments.json)
    parts = _VALIDATIONS if arguments.part == "all" else (arguments.part,)
    modules = [module for part in parts for module in _VALIDATIONS[part]]
    seen: list[validation.Row] = []
    for line in validation.lines(validation.rows(modules, arguments.full), seen):
        if arguments.json != "-":
            print(line, flush=True)
    if arguments.json:
        _write_text(arguments.json, validation.dumps(seen))
    return 0 if all(row.ok for row in seen) else 1


def _micro(arguments: argparse.Namespace) -> int:
    print(importlib.import_module(_MICRO[arguments.part]).main(arguments.options).rstrip("\n"))
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    code: int = importlib.import_module(_COMPARE).main(arguments.options)
    return code


def _asm(arguments: argparse.Namespace) -> int:
    from archsim.isa.trace import read_program, write_program

    write_program(read_program(arguments.file), arguments.output, binary=arguments.binary)
    return 0


def _disasm(arguments: argparse.Namespace) -> int:
    from archsim.isa.disassembler import disassemble
    from archsim.isa.trace import read_program

    print(disassemble(read_program(arguments.file).instructions), end="")
    return 0
