"""The commands and their exit codes.

Exit codes: 0 done; 1 the program failed on the machine (deadlock, memory fault), or a figure of `validate` misses
its tolerance; 2 bad input; 130 interrupted (the partial report is printed); 141 the reader of our output went away.
Heavy modules are imported where they are used, so that `--help` comes at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from archsim.cli.run import add_run
from archsim.cli.usage import INTERRUPTED, add, check_folder
from archsim.console import STDOUT, Parser, UsageError, write_text
from archsim.errors import ArchsimError

PIPE_CLOSED = 141

_VALIDATIONS: dict[str, tuple[str, ...]] = {
    "sampler": ("workloads.validation.sampler",),
    "hbm": ("archsim.micro.hbm_oracle",),
    "gemm": ("archsim.micro.gemm_oracle",),
    "noc": ("archsim.micro.noc_oracle", "workloads.validation.noc"),
}
"""What can be validated: name -> modules whose `rows(full)` make its part of the table."""

_MICRO = {"gemm": "archsim.micro.gemm", "hbm": "archsim.micro.hbm", "noc": "archsim.micro.noc"}
"""Measurements of one part: name -> module whose `main(arguments)` makes the text."""

_COMPARE = "workloads.compare"
"""Its `main(options)` carries out `compare`."""


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
    parser = Parser(
        prog="archsim",
        allow_abbrev=False,
        description="Discrete-event simulator of NPUs for diffusion language models.",
        epilog="`archsim TRACE` is short for `archsim run TRACE`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands)
    machine = add(commands, "machine", _machine, "list the machines, or show one")
    machine.add_argument("name", nargs="?", metavar="NAME", help="preset or TOML file")
    machine.add_argument("--dump", action="store_true", help="print every parameter, resolved, as TOML")
    add(commands, "isa", _isa, "list the instruction set")
    _add_validate(commands)
    micro = add(commands, "micro", _micro, "measure one part of a machine by itself")
    micro.add_argument("part", choices=sorted(_MICRO))
    micro.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="see `archsim micro PART --help`")
    # No argument is declared, so that all of them are left over, in order, and handed on.
    compare = commands.add_parser(
        "compare", help="generation methods side by side on one machine", add_help=False, allow_abbrev=False
    )
    compare.set_defaults(command=_compare)
    asm = add(commands, "asm", _asm, "assemble a program into a trace")
    asm.add_argument("file", metavar="FILE")
    asm.add_argument("-o", "--output", required=True, metavar="OUT", help="trace to write; .gz compresses")
    asm.add_argument("--binary", action="store_true", help="write instruction words, not text")
    disasm = add(commands, "disasm", _disasm, "print the instructions of a trace")
    disasm.add_argument("file", metavar="FILE")
    return parser, list(commands.choices)


def _add_validate(commands: argparse._SubParsersAction[Parser]) -> None:
    validate = add(commands, "validate", _validate, "compare with the figures of other tools and papers")
    validate.add_argument("part", nargs="?", choices=("all", *_VALIDATIONS), default="all", help="default: all")
    validate.add_argument("--full", action="store_true", help="every row, not a selection of minutes")
    validate.add_argument("--json", metavar="FILE|-", help="write the rows as JSON; -: to stdout, not the table")


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

    check_folder("json", arguments.json)
    parts = _VALIDATIONS if arguments.part == "all" else (arguments.part,)
    modules = [module for part in parts for module in _VALIDATIONS[part]]
    seen: list[validation.Row] = []
    for line in validation.lines(validation.rows(modules, arguments.full), seen):
        if arguments.json != STDOUT:
            print(line, flush=True)
    if arguments.json:
        write_text(arguments.json, validation.dumps(seen))
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
