"""Methods that `archsim compare` can name: a schedule with options under one name."""

from __future__ import annotations

import difflib
from typing import Any

from archsim.errors import WorkloadError
from workloads.forwards import Schedule
from workloads.schedules import SCHEDULES, build_schedule
from workloads.schedules.options import flag, option_fields, option_type

METHODS: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in SCHEDULES} | {
    "llada-prefix": ("llada", {"cache": "prefix", "block": 32}),
    "llada-dual": ("llada", {"cache": "dual", "block": 32}),
    "fast-dllm-prefix": ("fast-dllm", {"cache": "prefix"}),
    "fast-dllm-dual": ("fast-dllm", {"cache": "dual"}),
}
"""Name -> schedule and options; every schedule is a method with its defaults."""


def check_method(name: str) -> None:
    """Raise WorkloadError, with the nearest name, for a method that is not known."""
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(METHODS)}"
        raise WorkloadError(f"method {name}: unknown; {hint}")


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Schedule and options of a method, written NAME or NAME:OPTION=VALUE,...; raises WorkloadError.

    Options are the schedule's own and take the place of the method's.
    """
    name, _, rest = text.partition(":")
    check_method(name)
    schedule, options = METHODS[name]
    words = rest.split(",") if rest else []
    return schedule, options | dict(_read_option(text, schedule, word) for word in words)


def _read_option(method: str, schedule: str, word: str) -> tuple[str, Any]:
    key, _, value = word.partition("=")
    fields = {flag(field.name): field for field in option_fields(SCHEDULES[schedule])}
    if key not in fields:
        raise WorkloadError(f"method {method}: {word!r}; expected OPTION=VALUE of {', '.join(fields)}")
    kind = option_type(fields[key])
    try:
        return fields[key].name, kind(value)
    except ValueError:
        raise WorkloadError(f"method {method}: {word!r}; expected {kind.__name__}") from None


def build_method(text: str, prompt: int, gen: int) -> Schedule:
    """The schedule of the method; raises WorkloadError, also for lengths that it cannot run."""
    schedule, options = parse_method(text)
    return build_schedule(schedule, **{"prompt": prompt, "gen": gen} | options)
