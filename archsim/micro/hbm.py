"""`archsim micro hbm`: bandwidth, latency and rows of one HBM channel under synthetic traffic, burst by burst."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs

from archsim.console import Parser, text_or_json
from archsim.errors import ConfigError
from archsim.memory.hbm import MODES
from archsim.memory.timing import TIMINGS, DramTiming, find_timing
from archsim.micro.hbm_machine import measure_machine
from archsim.micro.hbm_measure import HbmLoad, HbmResult, measure
from archsim.micro.hbm_standard import load_standard
from archsim.micro.hbm_traffic import PATTERNS
from archsim.validate import BadValue


def main(argv: Sequence[str]) -> str:
    """Carry out the command's arguments and return the text to print; raises ArchsimError."""
    arguments = _parser().parse_args(argv)
    timing = load_standard(arguments.standard)
    try:
        load = HbmLoad(
            pattern=arguments.pattern,
            read_pct=arguments.read_pct,
            requests=arguments.requests,
            refresh=not arguments.no_refresh,
            gap=arguments.gap,
            seed=arguments.seed,
        )
    except BadValue as error:
        raise ConfigError("--" + error.name.replace("_", "-"), error.found, error.expected) from error
    if arguments.mode == "command":
        result = measure(timing, load)
    else:
        find_timing(arguments.standard, "--standard")
        result = measure_machine(arguments.standard, load, arguments.mode)
    return text_or_json(_text(result), _json(timing, load, arguments.mode, result), arguments.json)


def _parser() -> Parser:
    parser = Parser(prog="archsim micro hbm", allow_abbrev=False, description=__doc__)
    parser.add_argument(
        "--standard",
        default="HBM2-2000",
        metavar="NAME|FILE",
        help=f"{', '.join(TIMINGS)}, or a TOML file with a timing set (default: HBM2-2000)",
    )
    parser.add_argument("--pattern", choices=PATTERNS, default="stream-bank")
    parser.add_argument("--read-pct", type=int, default=100, help="reads among the requests, per cent (default: 100)")
    parser.add_argument("--requests", type=int, default=60_000, help="bursts in all (default: 60000)")
    parser.add_argument("--no-refresh", action="store_true")
    parser.add_argument(
        "--gap",
        type=int,
        default=1,
        metavar="N",
        help="offer 8/N bursts of the stream in each tick of the controller (default: 1, as fast as they are taken)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random generator (default: 1)")
    parser.add_argument(
        "--mode",
        choices=("command", *MODES),
        default="command",
        help="the controller, command by command, or a memory model that machines run on (default: command)",
    )
    parser.add_argument("--json", metavar="FILE|-", help="write the result as JSON; -: to stdout, not the text")
    return parser


def _text(result: HbmResult) -> str:
    rates = (("total", result.total_GBps), ("read", result.read_GBps), ("write", result.write_GBps))
    lines = [f"{name:<13}{rate:12.3f} GB/s" for name, rate in rates]
    lines.append(f"{'efficiency':<13}{100 * result.efficiency:12.2f} % of peak")
    for name, latency in (("read latency", result.avg_read_latency_ns), ("probe latency", result.probe_latency_ns)):
        if latency is not None:
            lines.append(f"{name:<13}{latency:12.2f} ns")
    rows = (("row hits", result.row_hits), ("row misses", result.row_misses), ("row conflicts", result.row_conflicts))
    lines += [f"{name:<13}{count:12}" for name, count in (*rows, ("refreshes", result.refreshes))]
    lines.append(f"{'duration':<13}{result.duration_ns:12.1f} ns")
    return "\n".join(lines) + "\n"


def _json(timing: DramTiming, load: HbmLoad, mode: str, result: HbmResult) -> str:
    asked = {"standard": timing.name, "source": timing.source, "mode": mode}
    return json.dumps(asked | attrs.asdict(load) | attrs.asdict(result), indent=2) + "\n"
