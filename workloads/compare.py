"""`archsim compare`: generation methods side by side on one machine, from a sample of their forwards."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import attrs

import archsim
from archsim.errors import ArchsimError
from archsim.units import PS_PER_SECOND
from workloads.cli import Parser
from workloads.forwards import Forward, Window
from workloads.lowering.generation import lower
from workloads.lowering.machine_view import view_of
from workloads.methods import build_method, check_method
from workloads.models import load_model

BASELINE = "llada"
CONTROL = ("llama-3-8b", "autoregressive")
SAMPLES = 8
_HEAD = (".sampling", ".lm_head")
# What places a forward in the schedule and does not change its work.
_PLACE = {"index", "q_start", "write_start", "head_start", "block_start", "block_index", "step_in_block"}


@attrs.frozen(kw_only=True)
class Job:
    """One row to make; `whole` simulates every forward in one program, `layers` shrinks the model."""

    machine: str
    model: str
    method: str
    prompt: int
    gen: int
    layers: int | None
    whole: bool


@attrs.frozen(kw_only=True)
class Row:
    """What a method takes; all zeros and the reason in `error` where it could not run."""

    method: str
    model: str
    error: str = ""
    forwards: int = 0
    simulated: int = 0
    tokens: int = 0
    time_ps: int = 0
    hbm_bytes: int = 0
    sampling_ps: int = 0
    bound: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second of simulated time."""
        return self.tokens * PS_PER_SECOND / self.time_ps if self.time_ps else 0.0


def chosen(forwards: Sequence[Forward], samples: int = SAMPLES) -> list[tuple[int, int]]:
    """(index, weight) of the forwards to simulate: at most `samples`, the weights adding up to all of them.

    Forwards of equal work are a group. Where there are more groups than samples, those spread evenly over the
    groups in order of kind and rows are simulated, and stand for the nearest others.
    """
    groups: dict[str, list[Forward]] = {}
    for forward in forwards:
        work = attrs.asdict(forward, filter=lambda field, _: field.name not in _PLACE)
        groups.setdefault(repr(work), []).append(forward)
    order = sorted(groups.values(), key=lambda group: _size(group[0]))
    count = min(samples, len(order))
    picks = [(2 * i + 1) * len(order) // (2 * count) for i in range(count)]
    weights: Counter[int] = Counter()
    for place, group in enumerate(order):
        # Another kind of forward is nearer only if no pick is of the same kind.
        near = min(picks, key=lambda pick: (order[pick][0].kind != group[0].kind, abs(pick - place), pick))
        weights[order[near][0].index] += len(group)
    return sorted(weights.items())


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
    parts = [(Window(i, i + 1), weight) for i, weight in chosen(forwards)] if not job.whole else [(Window(), 1)]
    bounds: Counter[str] = Counter()
    time = traffic = head = 0
    for window, weight in parts:
        result = archsim.simulate(lower(model, schedule, view, window=window), params)
        time += weight * result.time_ps
        traffic += weight * sum(phase.hbm_read_bytes + phase.hbm_write_bytes for phase in result.phases)
        head += weight * sum(phase.time_ps for phase in result.phases if phase.name.endswith(_HEAD))
        bounds[_bound(result)] += weight * result.time_ps
    return Row(
        method=job.method,
        model=job.model,
        forwards=len(forwards),
        simulated=len(forwards) if job.whole else len(parts),
        tokens=sum(forward.committed + forward.free_commits for forward in forwards),
        time_ps=time,
        hbm_bytes=traffic,
        sampling_ps=head,
        bound=bounds.most_common(1)[0][0],
    )


def _bound(result: archsim.RunResult) -> str:
    return result.bounds["program"].largest[0] if "program" in result.bounds else "-"


def records(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The table's columns of every row, unrounded; a row that did not run has its error alone."""
    base = next((row.tokens_per_second for row in rows if row.method == BASELINE and not row.error), 0.0)
    return [_record(row, base) for row in rows]


def _record(row: Row, base: float) -> dict[str, object]:
    out: dict[str, object] = {"method": row.method, "model": row.model}
    if row.error:
        return out | {"error": row.error}
    return out | {
        "forwards": row.forwards,
        "simulated": row.simulated,
        "tokens_per_forward": row.tokens / row.forwards,
        "ms_per_forward": row.time_ps / row.forwards / 1e9,
        "tokens_per_s": row.tokens_per_second,
        "speedup": row.tokens_per_second / base if base else None,
        "hbm_bytes_per_token": row.hbm_bytes / row.tokens,
        "bound": row.bound,
        "sampling_share": row.sampling_ps / row.time_ps,
    }


def table(rows: Sequence[Row]) -> str:
    """The rows as text, with what was sampled below."""
    head = f"{'method':<20} {'forwards':>8} {'tok/fwd':>8} {'ms/fwd':>9} {'tok/s':>9} {'speed-up':>8} "
    lines = [head + f"{'HBM MB/tok':>10} {'bound':>8} {'sampling':>8}"]
    for row, data in zip(rows, records(rows), strict=True):
        if row.error:
            lines.append(f"{row.method:<20} {row.error}")
            continue
        speedup = "-" if data["speedup"] is None else f"{data['speedup']:.2f}"
        lines.append(
            f"{row.method:<20} {row.forwards:>8} {data['tokens_per_forward']:>8.2f} {data['ms_per_forward']:>9.3f} "
            f"{data['tokens_per_s']:>9.2f} {speedup:>8} {row.hbm_bytes / row.tokens / 1e6:>10.1f} {row.bound:>8} "
            f"{data['sampling_share']:>8.1%}"
        )
    ran = [row for row in rows if not row.error]
    done, total = sum(row.simulated for row in ran), sum(row.forwards for row in ran)
    return "\n".join([*lines, f"sampled: {done} of {total} forwards simulated"]) + "\n"


def main(argv: list[str]) -> int:
    """Run the command; 1 where nothing ran. Raises ArchsimError for bad arguments."""
    parser = Parser(prog="archsim compare", description="Generation methods side by side on one machine.")
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="method or schedule")
    parser.add_argument("--machine", default="dart-2048", metavar="NAME|FILE")
    parser.add_argument("--model", default="llada-8b")
    for name, default in (("prompt", 512), ("gen", 256), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default: {default}")
    parser.add_argument("--layers", type=int, metavar="N", help="shrink the models to N layers")
    parser.add_argument("--whole", action="store_true", help="simulate every forward, not a sample")
    parser.add_argument("--csv", metavar="FILE", help="write the rows as CSV")
    parser.add_argument("--json", metavar="FILE|-", help="write the rows as JSON; -: to stdout, not the table")
    args = parser.parse_args(argv)
    if args.jobs < 1:
        parser.error(f"--jobs is {args.jobs}; expected at least 1")
    for name in args.methods:
        check_method(name)
    archsim.load_machine(args.machine), load_model(args.model)  # fail before processes are started
    pairs = dict.fromkeys([(args.model, BASELINE), *((args.model, name) for name in args.methods), CONTROL])
    jobs = [
        Job(machine=args.machine, model=model, method=method, prompt=args.prompt, gen=args.gen,
            layers=args.layers, whole=args.whole)
        for model, method in pairs
    ]  # fmt: skip
    with ProcessPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(measure, jobs))
    if args.json != "-":
        sys.stdout.write(table(rows))
    _write(rows, args.json, args.csv)
    return 0 if any(not row.error for row in rows) else 1


def _write(rows: Sequence[Row], json_path: str | None, csv_path: str | None) -> None:
    data = records(rows)
    if json_path == "-":
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    elif json_path:
        Path(json_path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if csv_path:
        with open(csv_path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in data for key in row)))
            writer.writeheader()
            writer.writerows(data)
