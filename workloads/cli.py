"""The `list` and `schedule` commands of `python -m workloads`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, NoReturn

from archsim.errors import WorkloadError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors join the others: one line, no usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise WorkloadError instead of printing and leaving."""
        raise WorkloadError(f"{message} (--help shows the usage)")


def list_main(argv: list[str]) -> int:
    """`list`: built-in models and schedules, one a line."""
    from workloads.models import load_model, model_names
    from workloads.schedules import SCHEDULES

    Parser(prog="python -m workloads list", description="Models and schedules that can be named.").parse_args(argv)
    print("models")
    for name in model_names():
        model = load_model(name)
        print(f"  {name:<16} {model.kind:<5} {model.parameters / 1e9:6.3f} B parameters, {model.layers} layers")
    print("schedules")
    for name, schedule in SCHEDULES.items():
        summary = (schedule.__doc__ or "").strip().splitlines()[0]
        print(f"  {name:<16} {summary}")
    return 0


def schedule_main(argv: list[str]) -> int:
    """`schedule NAME ...`: print the forwards of a schedule, as text or JSON."""
    from workloads.forwards import parse_window, schedule_json
    from workloads.schedules import SCHEDULES, build_schedule
    from workloads.schedules.options import add_arguments, given_options

    parser = Parser(prog="python -m workloads schedule", description="Row counts of every forward of a schedule.")
    parser.add_argument("name", help=f"one of {', '.join(SCHEDULES)}")
    add_arguments(parser, SCHEDULES)
    parser.add_argument("--forwards", metavar="START:STOP", help="only these forwards, such as 0:2")
    parser.add_argument("--json", metavar="FILE", help="write JSON to FILE, - for standard output")
    args = parser.parse_args(argv)
    schedule = build_schedule(args.name, **given_options(args, SCHEDULES))
    data = schedule_json(schedule, parse_window(args.forwards) if args.forwards else None)
    if args.json is None:
        print(schedule_text(data))
    else:
        _write(args.json, json.dumps(data, indent=1) + "\n")
    return 0


def schedule_text(data: dict[str, Any]) -> str:
    """What `schedule_json` returned, for people: one line a column, run-length encoded."""
    from workloads.forwards import run_lengths

    rows = data["forwards"]
    lines = [" ".join(f"{key}={value}" for key, value in data["schedule"].items()), f"{'forwards':<13}{len(rows)}"]
    lines += [f"{column:<13}{run_lengths(row[column] for row in rows)}" for column in rows[0]]
    return "\n".join(lines)


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise WorkloadError(f"{path}: {error.strerror}; expected a file that can be written") from None
