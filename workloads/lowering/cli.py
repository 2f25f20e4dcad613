"""`python -m workloads MODEL --schedule NAME ...`: lower a model to a program file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import archsim
from archsim.console import Parser
from workloads.forwards import parse_window
from workloads.lowering.generation import lower
from workloads.lowering.options import KV_SCHEMES, LOGITS, ROPE_CACHE, LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.lowering.sampling_variant import parse_sampling
from workloads.models import load_model
from workloads.schedules import SCHEDULES, build_schedule
from workloads.schedules.options import add_arguments, given_options

_FORMATS = ("weights", "kv", "acts", "tables", "logits_format")
_CHOICES = {"kv_scheme": tuple(KV_SCHEMES), "logits": LOGITS, "rope_cache": ROPE_CACHE}


def parser() -> Parser:
    """The arguments of the command."""
    out = Parser(prog="python -m workloads MODEL", description="Lower a model and its schedule to a program.")
    out.add_argument("model", help="a built-in model, or a Hugging Face config.json")
    out.add_argument("--schedule", required=True, help=f"one of {', '.join(SCHEDULES)}")
    add_arguments(out, SCHEDULES)
    group = out.add_argument_group("lowering")
    group.add_argument("--machine", default="dart-2048", metavar="NAME|FILE", help="machine to lower for")
    group.add_argument("-o", "--output", required=True, metavar="FILE", help="program file to write")
    group.add_argument("--forwards", metavar="START:STOP", help="only these forwards, such as 0:2")
    group.add_argument("--layers", type=int, metavar="N", help="shrink the model to N layers")
    group.add_argument("--binary", action="store_true", help="write the binary form")
    add_lowering_options(group)
    return out


def add_lowering_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Give a parser what `LoweringOptions` has; each option defaults to None, "not given"."""
    for name in _FORMATS:
        what = name.removesuffix("_format")
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="FORMAT", help=f"number format of {what}")
    for name, choices in _CHOICES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="{" + ",".join(choices) + "}")
    parser.add_argument(
        "--sampling", type=parse_sampling, metavar="WORD[=X],...",
        help="score (confidence, margin, entropy, random), temperature=T, top-p=P, threshold=X, factor=X, chunk=N",
    )  # fmt: skip
    parser.add_argument("--routing", metavar="FILE", help="recorded choices of experts, as JSON lines")
    parser.add_argument("--routing-seed", type=int, metavar="N", help="seed of choices of experts, without a file")


def given_lowering_options(args: argparse.Namespace) -> LoweringOptions:
    """The options that the command line set; raises WorkloadError for what cannot be lowered."""
    names = (*_FORMATS, *_CHOICES, "sampling", "routing", "routing_seed")
    given: dict[str, Any] = {name: getattr(args, name) for name in names}
    return LoweringOptions(**{name: value for name, value in given.items() if value is not None})


def main(argv: list[str]) -> int:
    """Run the command; raises ArchsimError for what cannot be lowered."""
    args = parser().parse_args(argv)
    model = load_model(args.model)
    if args.layers is not None:
        model = model.shrunk(layers=args.layers)
    schedule = build_schedule(args.schedule, **given_options(args, SCHEDULES))
    options = given_lowering_options(args)
    view = view_of(archsim.load_machine(args.machine))
    program = lower(model, schedule, view, options, parse_window(args.forwards) if args.forwards else None)
    archsim.write_program(program, args.output, binary=args.binary)
    count = len(program.header.forwards)
    sys.stdout.write(f"{args.output}: {count} forwards, {len(program.instructions)} instructions\n")
    return 0
