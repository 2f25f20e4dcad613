"""The `list` and `schedule` commands of `python -m workloads`."""

from __future__ import annotations

import json
from typing import Any

from archsim.console import Parser, write_text


def list_main(argv: list[str]) -> int:
    """`list`: built-in models and schedules, as text or JSON."""
    from workloads.schedules.listing import NO_INFERENCE_WORK, schedule_rows, schedules_text

    parser = Parser(prog="python -m workloads list", description="Models and schedules that can be named.")
    parser.add_argument("what", nargs="?", choices=("models", "schedules"), help="only these")
    parser.add_argument("--json", metavar="FILE", help="write JSON to FILE, - for standard output")
    args = parser.parse_args(argv)
    models, schedules = args.what != "schedules", args.what != "models"
    if args.json is None:
        print("\n".join([_models_text()] * models + [schedules_text()] * schedules))
        return 0
    data: dict[str, Any] = {"models": _model_rows()} if models else {}
    if schedules:
        data |= {"schedules": schedule_rows(), "no_inference_work": NO_INFERENCE_WORK}
    write_text(args.json, json.dumps(data, indent=1) + "\n")
    return 0


def _model_rows() -> list[dict[str, Any]]:
    from workloads.models import load_model, model_names

    models = [load_model(name) for name in model_names()]
    return [
        {
            "name": model.name, "kind": model.kind, "parameters": model.parameters,
            "active_parameters": model.active_parameters, "layers": model.layers, "source": model.source,
        }
        for model in models
    ]


def _models_text() -> str:
    lines = ["models"]
    for row in _model_rows():
        size, active = (f"{row[key] / 1e9:.3f} B" for key in ("parameters", "active_parameters"))
        share = f" ({active} a token)" if active != size else ""
        lines.append(f"  {row['name']:<18} {row['kind']:<5} {size:>9} parameters{share}, {row['layers']} layers")
    return "\n".join(lines)


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
        write_text(args.json, json.dumps(data, indent=1) + "\n")
    return 0


def schedule_text(data: dict[str, Any]) -> str:
    """What `schedule_json` returned, for people: one line a column, run-length encoded."""
    from workloads.forwards import run_lengths

    rows = data["forwards"]
    lines = [" ".join(f"{key}={value}" for key, value in data["schedule"].items()), f"{'forwards':<13}{len(rows)}"]
    for column in rows[0]:
        # An empty text, which among networks is the model, shows as "-".
        lines.append(f"{column:<12} {run_lengths('-' if row[column] == '' else row[column] for row in rows)}")
    return "\n".join(lines)

