"""Independent parts of a study, in processes of their own; what comes out does not depend on how many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Cores of this computer: how many processes a study takes unless it is told."""
    return os.cpu_count() or 1


def in_order(function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """Results of the tasks in their order, each as soon as it and those before it are there.

    `function` is one of a module, and tasks and results can be pickled; with one job no process is started.
    """
    if jobs == 1:
        yield from map(function, tasks)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks))) as pool:
        yield from pool.map(function, tasks)
