"""One method's time on a machine, from a sample of its forwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

import archsim
from archsim.errors import ArchsimError
from workloads.compare.rows import Row
from workloads.forwards import Forward, Window
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.methods import build_method
from workloads.models import load_model

SAMPLES = 8
_HEAD = (".sampling", ".lm_head")
# What places a forward in the schedule, and how many tokens it fixes: neither changes its work.
_PLACE = {"index", "q_start", "write_start", "head_start", "block_start", "block_index", "step_in_block"}
_PLACE |= {"committed", "free_commits", "provisional"}


@attrs.frozen(kw_only=True)
class Job:
    """One row to make; `samples` forwards are simulated, 0: all in one program; `layers` shrinks the model."""

    machine: str
    model: str
    method: str
    prompt: int
    gen: int
    layers: int | None = None
    samples: int = SAMPLES
    options: LoweringOptions = attrs.Factory(LoweringOptions)


def chosen(forwards: Sequence[Forward], samples: int = SAMPLES) -> list[tuple[int, int]]:
    """(index, weight) of the forwards to simulate: at most `samples`, the weights adding up to all of them.

    Forwards of equal work are a group. Where there are more groups than samples, those spread evenly over the
    groups of each kind in order of rows are simulated, and stand for the nearest others.
    """
    groups: dict[str, list[Forward]] = {}
    for forward in forwards:
        work = attrs.asdict(forward, filter=lambda field, _: field.name not in _PLACE)
        groups.setdefault(repr(work), []).append(forward)
    order = sorted(groups.values(), key=lambda group: _size(group[0]))
    picks = _picks([group[0].kind for group in order], samples)
    weights: Counter[int] = Counter()
    for place, group in enumerate(order):
        # Another kind of forward is nearer only if no pick is of the same kind.
        near = min(picks, key=lambda pick: (order[pick][0].kind != group[0].kind, abs(pick - place), pick))
        weights[order[near][0].index] += len(group)
    return sorted(weights.items())


def _picks(kinds: Sequence[str], samples: int) -> list[int]:
    """Places of at most `samples` of the sorted `kinds`: of every kind one, if there are enough, then the most of
    which there are most."""
    sizes = Counter(kinds)
    if len(sizes) > samples:
        return _spread(0, len(kinds), samples)
    shares = Counter(dict.fromkeys(sizes, 1))
    for _ in range(min(samples, len(kinds)) - len(sizes)):
        shares[max(sizes, key=lambda kind: (sizes[kind] - shares[kind]) / shares[kind])] += 1
    return [place for kind in sizes for place in _spread(kinds.index(kind), sizes[kind], shares[kind])]


def _spread(first: int, size: int, count: int) -> list[int]:
    """`count` places in the middle of equal parts of `size` ones."""
    return [first + (2 * i + 1) * size // (2 * count) for i in range(count)]


def _size(forward: Forward) -> tuple[str, int, int, int, int]:
    return forward.kind, forward.q_rows, forward.kv_rows, forward.head_rows, forward.committed


def measure(job: Job) -> Row:
    """Lower and simulate one method; a refusal becomes the row's `error`."""
    try:
        return _measure(job)
    except ArchsimError as error:
        return Row(method=job.method, model=job.model, error=" ".join(str(error).split()))


def _measure(job: Job) -> Row:
    model, params = load_model(job.model), archsim.load_machine(job.machine)
    if job.layers is not None:
        model = model.shrunk(layers=job.layers)
    schedule, view = build_method(job.method, job.prompt, job.gen), view_of(params)
    forwards = list(schedule.forwards())
    parts = [(Window(), 1)]
    if job.samples:
        parts = [(Window(i, i + 1), weight) for i, weight in chosen(forwards, job.samples)]
    bounds: Counter[str] = Counter()
    time = traffic = head = 0
    for window, weight in parts:
        result = archsim.simulate(lower(model, schedule, view, job.options, window), params)
        time += weight * result.time_ps
        traffic += weight * sum(phase.hbm_read_bytes + phase.hbm_write_bytes for phase in result.phases)
        head += weight * sum(phase.time_ps for phase in result.phases if phase.name.endswith(_HEAD))
        bounds[_bound(result)] += weight * result.time_ps
    return Row(
        method=job.method,
        model=job.model,
        forwards=len(forwards),
        simulated=len(parts) if job.samples else len(forwards),
        tokens=sum(forward.committed + forward.free_commits for forward in forwards),
        time_ps=time,
        hbm_bytes=traffic,
        sampling_ps=head,
        bound=bounds.most_common(1)[0][0],
    )


def _bound(result: archsim.RunResult) -> str:
    return result.bounds["program"].largest[0] if "program" in result.bounds else "-"
