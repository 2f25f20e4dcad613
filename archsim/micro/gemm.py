"""`archsim micro gemm`: cycles of a matrix product on a systolic array, by itself or inside a core with HBM."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import attrs

from archsim.console import Parser, text_or_json
from archsim.errors import ConfigError
from archsim.isa.timing.systolic import DATAFLOWS, Gemm, SystolicArray
from archsim.machine import MachineParams, load_machine
from archsim.micro.gemm_program import gemm_program
from archsim.run import simulate

CORE_MACHINE = "gemm-128"
_ARRAY = re.compile(r"(\d+)x(\d+)")


def main(argv: Sequence[str]) -> str:
    """Carry out the command's arguments and return the text to print; raises ArchsimError."""
    arguments = _parser().parse_args(argv)
    gemm = Gemm(m=arguments.m, n=arguments.n, k=arguments.k)
    rows, columns = parse_array(arguments.array)
    array = SystolicArray(
        rows=rows, columns=columns, dataflow=arguments.dataflow, double_buffer=arguments.weight_double_buffer
    )
    if arguments.mode == "array":
        found = {"folds": array.folds(gemm), "cycles": array.cycles(gemm), "utilisation": array.utilisation(gemm)}
    else:
        found = in_core(gemm, array, arguments.machine, arguments.cores)
    asked = {"mode": arguments.mode, **attrs.asdict(array), **attrs.asdict(gemm), "macs": gemm.macs}
    return text_or_json(_text(found), json.dumps(asked | found, indent=2) + "\n", arguments.json)


def _parser() -> Parser:
    parser = Parser(prog="archsim micro gemm", allow_abbrev=False, description=__doc__)
    parser.add_argument("--array", default="128x128", metavar="RxC", help="rows and columns (default: 128x128)")
    parser.add_argument("--dataflow", default="ws", choices=DATAFLOWS, help="what stays in the array (default: ws)")
    for name, what in (("m", "rows of activations"), ("n", "output columns"), ("k", "reduction")):
        parser.add_argument(f"--{name}", type=int, required=True, help=what)
    parser.add_argument(
        "--weight-double-buffer", action="store_true", help="load the next stationary operand while rows stream"
    )
    parser.add_argument(
        "--mode",
        choices=("array", "core"),
        default="array",
        help="the array by itself, or a program on a core with HBM (default: array)",
    )
    parser.add_argument("--cores", type=int, default=1, help="for --mode core: cores with an array each (default: 1)")
    parser.add_argument("--machine", default=CORE_MACHINE, help=f"for --mode core (default: {CORE_MACHINE})")
    parser.add_argument("--json", metavar="FILE|-", help="write the result as JSON; -: to stdout, not the text")
    return parser


def parse_array(text: str) -> tuple[int, int]:
    """Rows and columns of "128x128"; raises ConfigError."""
    match = _ARRAY.fullmatch(text)
    if match is None:
        raise ConfigError("--array", text, "RxC, such as 128x128")
    return int(match[1]), int(match[2])


def in_core(
    gemm: Gemm, array: SystolicArray, machine: str = CORE_MACHINE, cores: int = 1, hbm: int = 1
) -> dict[str, Any]:
    """Cycles, utilisation and HBM traffic of the product as a program; raises ConfigError.

    `cores` arrays share the columns; the memory and the cores' ports are `hbm` times as wide as the machine's.

    The core's tensor unit streams rows against weights that the next tile's replace meanwhile: a
    weight-stationary square array with double buffering, which is what `array` must be. Nothing is replayed, so that
    refreshes come when they are due.
    """
    if array.dataflow != "ws" or not array.double_buffer or array.rows != array.columns:
        raise ConfigError("--mode core", "another array", "a square one, --dataflow ws --weight-double-buffer")
    params = sized(load_machine(machine), array.rows, cores, hbm)
    result = simulate(gemm_program(gemm, params), params, replay=False)
    peak = cores * array.rows * array.columns * result.cycles
    return {
        "cycles": result.cycles,
        "utilisation": gemm.macs / peak,
        "hbm_read_bytes": result.hbm["read_bytes"],
        "hbm_write_bytes": result.hbm["write_bytes"],
    }


def sized(params: MachineParams, side: int, cores: int = 1, hbm: int = 1) -> MachineParams:
    """The machine with `cores` arrays of `side` x `side`, its memory and the cores' ports `hbm` times as wide."""
    core = attrs.evolve(params.core, mlen=side, vlen=side, blen=side, hlen=side)
    memory = attrs.evolve(params.memory, channels=hbm * params.memory.channels)
    noc = attrs.evolve(params.noc, core_port_bytes_per_cycle=hbm * params.noc.core_port_bytes_per_cycle)
    return attrs.evolve(params, core=core, cores=cores, memory=memory, noc=noc)


def _text(found: dict[str, Any]) -> str:
    lines = []
    for name, value in found.items():
        title = name.replace("_", " ").replace("hbm", "HBM")
        lines.append(f"{title:<16} {value:>16.4f}" if isinstance(value, float) else f"{title:<16} {value:>16,}")
    return "\n".join(lines) + "\n"
