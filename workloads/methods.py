"""Methods that `archsim compare` can name: a schedule with options under one name."""

from __future__ import annotations

import difflib
from typing import Any

from archsim.errors import WorkloadError
from workloads.forwards import Schedule
from workloads.schedules import SCHEDULES, build_schedule

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


def build_method(name: str, prompt: int, gen: int) -> Schedule:
    """The schedule of the method; raises WorkloadError for an unknown name or lengths that it cannot run."""
    check_method(name)
    schedule, options = METHODS[name]
    return build_schedule(schedule, prompt=prompt, gen=gen, **options)
