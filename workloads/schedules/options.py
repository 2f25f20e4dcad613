"""Schedule options: declared once, as attrs fields, and read from there by checks and command lines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import Schedule


def option(
    text: str,
    *,
    minimum: int | None = None,
    choices: tuple[str, ...] = (),
    words: bool = False,
    last: bool = False,
    default: str = "gen",
) -> dict[str, Any]:
    """Metadata of an option field: help text, and the least integer or the words it accepts, or any `words`.

    An option with none of the three is a number. `last` ones are named behind the others. `default` is what lists
    show where the default depends on other options.
    """
    return {"help": text, "minimum": minimum, "choices": choices, "words": words, "last": last, "default": default}


def option_fields(schedule: type[attrs.AttrsInstance]) -> list[attrs.Attribute[Any]]:
    """The options of a schedule in the order in which they are shown."""
    return sorted(attrs.fields(schedule), key=lambda field: field.metadata["last"])


def check_options(schedule: Schedule) -> None:
    """Raise WorkloadError for the first field that is outside what its `option` accepts."""
    for field in attrs.fields(type(schedule)):
        value, choices, minimum = getattr(schedule, field.name), field.metadata["choices"], field.metadata["minimum"]
        if choices and value not in choices:
            raise refusal(schedule, f"{flag(field.name)} is {value!r}", f"one of {', '.join(choices)}")
        if minimum is not None and (type(value) is not int or value < minimum):
            raise refusal(schedule, f"{flag(field.name)} is {value!r}", f"an integer of at least {minimum}")


def refusal(schedule: Schedule, found: str, expected: str) -> WorkloadError:
    """The error of a schedule that cannot be built."""
    return WorkloadError(f"schedule {schedule.name}: {found}; expected {expected}")


def option_values(schedule: Schedule) -> dict[str, Any]:
    """The usual `params`: every option with its value, spelled as on the command line but with underscores."""
    return {field.name.rstrip("_"): getattr(schedule, field.name) for field in option_fields(type(schedule))}


def flag(name: str) -> str:
    """The option's spelling without dashes: `cfg_scale` is "cfg-scale", `as_` is "as"."""
    return name.rstrip("_").replace("_", "-")


def add_arguments(parser: argparse.ArgumentParser, schedules: Mapping[str, type[Schedule]]) -> None:
    """Give `parser` every option of every schedule; each defaults to None, "not given"."""
    users: dict[str, list[tuple[str, attrs.Attribute[Any]]]] = {}
    for name, schedule in schedules.items():
        for field in option_fields(schedule):
            users.setdefault(field.name, []).append((name, field))
    group = parser.add_argument_group("schedule options")
    for name, uses in users.items():
        kind = option_type(uses[0][1])
        choices = list(dict.fromkeys(choice for _, field in uses for choice in field.metadata["choices"]))
        shown = "{" + ",".join(choices) + "}" if choices else kind.__name__.upper()
        where = "" if len(uses) == len(schedules) else f" ({', '.join(user for user, _ in uses)})"
        group.add_argument(f"--{flag(name)}", dest=name, type=kind, metavar=shown, help=_help_text(uses) + where)


def _help_text(uses: list[tuple[str, attrs.Attribute[Any]]]) -> str:
    """What the schedules say of an option, without what only adds to another one's words."""
    texts = list(dict.fromkeys(field.metadata["help"] for _, field in uses))
    short = [text for text in texts if not any(text != other and text.startswith(other) for other in texts)]
    return "; or: ".join(short)


def option_type(field: attrs.Attribute[Any]) -> type[int] | type[float] | type[str]:
    """What reads the option's value from a command line."""
    if field.metadata["choices"] or field.metadata["words"]:
        return str
    return int if field.metadata["minimum"] is not None else float


def given_options(args: argparse.Namespace, schedules: Mapping[str, type[Schedule]]) -> dict[str, Any]:
    """The options that the command line set, to be passed to `build_schedule`."""
    names = {field.name: None for schedule in schedules.values() for field in attrs.fields(schedule)}
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}
