"""`archsim micro noc`: latency and accepted rate of a network under synthetic traffic, flit by flit."""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from archsim.console import Parser, text_or_json
from archsim.errors import ConfigError
from archsim.micro.validation import lines
from archsim.noc.packet_measure import MeasureParams, PacketResult, measure
from archsim.noc.packet_params import ARBITRATIONS, PacketParams
from archsim.noc.packet_traffic import PATTERNS
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams
from archsim.validate import BadValue

_GRID = re.compile(r"(mesh|torus):(\d+)x(\d+)|ring:(\d+)")


def main(argv: Sequence[str]) -> str:
    """Carry out the command's arguments and return the text to print; raises ArchsimError."""
    arguments = _parser().parse_args(argv)
    if arguments.oracle:
        from archsim.micro.noc_oracle import compare, read_oracle

        rows = [row for name in arguments.oracle for row in read_oracle(Path(name))]
        return "\n".join(lines(compare(rows, arguments.seed), [])) + "\n"
    if arguments.reads:
        return _reads(arguments)
    try:
        noc = parse_topology(arguments.topology)
        params = PacketParams(
            vcs=arguments.vcs,
            buffer=arguments.buffer,
            packet_flits=arguments.packet_flits,
            arbitration=arguments.arbitration,
        )
        how = MeasureParams(window=arguments.window, warmup_windows=arguments.warmup)
    except BadValue as error:
        raise ConfigError(error.name, error.found, error.expected) from error
    result = measure(
        build_wiring(noc),
        params,
        rate=arguments.rate,
        traffic=arguments.traffic,
        rng=random.Random(arguments.seed),
        how=how,
    )
    return text_or_json(_text(result), _json(result, arguments), arguments.json)


def _parser() -> Parser:
    parser = Parser(prog="archsim micro noc", allow_abbrev=False, description=__doc__)
    parser.add_argument(
        "--topology",
        default="mesh:4x4",
        metavar="T",
        help="mesh:RxC, torus:RxC, ring:N, or the network of a machine, NAME|FILE (default: mesh:4x4)",
    )
    parser.add_argument("--vcs", type=int, default=4, help="virtual channels of each link (default: 4)")
    parser.add_argument("--buffer", type=int, default=8, help="flits that each virtual channel buffers (default: 8)")
    parser.add_argument("--packet-flits", type=int, default=1, help="flits of each packet (default: 1)")
    parser.add_argument(
        "--arbitration",
        choices=ARBITRATIONS,
        default=ARBITRATIONS[0],
        help=f"whom routers serve first (default: {ARBITRATIONS[0]})",
    )
    parser.add_argument("--rate", type=float, default=0.1, help="flits offered per node and cycle (default: 0.1)")
    parser.add_argument("--traffic", choices=sorted(PATTERNS), default="uniform")
    parser.add_argument("--seed", type=int, default=1, help="of the random generator (default: 1)")
    parser.add_argument("--window", type=int, default=5000, help="cycles between looks at the averages (default: 5000)")
    parser.add_argument("--warmup", type=int, default=3, help="windows before the measurement (default: 3)")
    parser.add_argument("--json", metavar="FILE|-", help="write the result as JSON; -: to stdout, not the text")
    parser.add_argument(
        "--reads", metavar="NAME|FILE", help="noc.queued_percent of a machine's network, from reads of all its cores"
    )
    parser.add_argument("--oracle", metavar="CSV", nargs="+", help="compare with another simulator's table instead")
    return parser


def _reads(arguments: argparse.Namespace) -> str:
    from archsim.machine import load_machine
    from archsim.micro.noc_reads import measure_reads

    try:
        how = PacketParams(vcs=arguments.vcs, buffer=arguments.buffer, arbitration=arguments.arbitration)
    except BadValue as error:
        raise ConfigError(error.name, error.found, error.expected) from error
    found = measure_reads(load_machine(arguments.reads), how)
    text = (
        f"flit-level           {found.packet_ps / 1e6:10.3f} us\n"
        f"bulk, links at 100 % {found.bulk_100_ps / 1e6:10.3f} us\n"
        f"queued percent       {found.queued_percent:10}\n"
        f"bulk with that       {found.bulk_ps / 1e6:10.3f} us\n"
    )
    return text_or_json(text, json.dumps(attrs.asdict(found), indent=2) + "\n", arguments.json)


def parse_topology(text: str) -> NocParams:
    """The network that `--topology` names; raises ConfigError, BadValue."""
    match = _GRID.fullmatch(text)
    if match is None:
        if ":" in text:
            raise ConfigError("--topology", text, "mesh:RxC, torus:RxC, ring:N, or a machine's name or file")
        from archsim.machine import load_machine

        return load_machine(text).noc
    shape, rows, cols, around = match.groups()
    if around:
        return NocParams(topology="ring", cols=int(around))
    return NocParams(topology=shape, rows=int(rows), cols=int(cols))


def _text(result: PacketResult) -> str:
    lines = [
        f"packet latency   {result.packet_latency:10.3f} cycles",
        f"network latency  {result.network_latency:10.3f} cycles",
        f"offered          {result.offered:10.4f} flits/node/cycle",
        f"accepted         {result.accepted:10.4f} flits/node/cycle",
        f"hops             {result.hops:10.4f} routers",
        f"saturated        {'yes' if result.saturated else 'no':>10}",
    ]
    if not result.settled:
        lines.append("the averages had not settled when the measurement ended")
    return "\n".join(lines) + "\n"


def _json(result: PacketResult, arguments: argparse.Namespace) -> str:
    asked = ("topology", "vcs", "buffer", "packet_flits", "arbitration", "traffic", "seed", "window", "warmup")
    return json.dumps({name: getattr(arguments, name) for name in asked} | attrs.asdict(result), indent=2) + "\n"
