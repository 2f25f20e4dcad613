"""Arguments of `archsim compare`, processes, progress and outputs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import archsim
from archsim.console import Parser
from archsim.errors import WorkloadError
from workloads.compare.measure import SAMPLES, Job, measure
from workloads.compare.rows import BASELINE, Row, csv_text, records, table
from workloads.lowering.cli import add_lowering_options, given_lowering_options
from workloads.methods import parse_method
from workloads.models import load_model

CONTROL = ("llama-3-8b", "autoregressive")


def parser() -> Parser:
    """The arguments of the command."""
    out = Parser(prog="archsim compare", description="Generation methods side by side on one machine.")
    out.add_argument("methods", nargs="+", metavar="METHOD", help="method or schedule, as NAME or NAME:OPTION=X,...")
    out.add_argument("--machine", default="dart-2048", metavar="NAME|FILE")
    out.add_argument("--model", default="llada-8b")
    for name, default in (("prompt", 512), ("gen", 256), ("jobs", 2)):
        out.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default: {default}")
    out.add_argument("--layers", type=int, metavar="N", help="shrink the models to N layers")
    amount = out.add_mutually_exclusive_group()
    amount.add_argument("--samples", type=int, metavar="N", help=f"forwards simulated of a method (default: {SAMPLES})")
    amount.add_argument("--whole", action="store_true", help="simulate every forward, not a sample")
    out.add_argument("--csv", metavar="FILE", help="write the rows as CSV")
    out.add_argument("--json", metavar="FILE|-", help="write the rows as JSON; -: to stdout, not the table")
    out.add_argument("--figure", metavar="FILE", help="draw the rows, as .svg, .png or .pdf (needs matplotlib)")
    add_lowering_options(out)
    return out


def main(argv: list[str]) -> int:
    """Run the command; 1 where nothing ran. Raises ArchsimError for bad arguments."""
    asked = parser()
    args = asked.parse_intermixed_args(argv)
    for name in ("jobs", "samples", "layers"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            asked.error(f"--{name} is {getattr(args, name)}; expected at least 1")
    _check_outputs({"csv": args.csv, "json": args.json if args.json != "-" else None, "figure": args.figure})
    # Fail before processes are started.
    archsim.load_machine(args.machine), load_model(args.model)
    for method in args.methods:
        parse_method(method)
    options = given_lowering_options(args)
    pairs = dict.fromkeys([(args.model, BASELINE), *((args.model, name) for name in args.methods), CONTROL])
    jobs = [
        Job(machine=args.machine, model=model, method=method, prompt=args.prompt, gen=args.gen, layers=args.layers,
            samples=0 if args.whole else args.samples or SAMPLES, options=options)
        for model, method in pairs
    ]  # fmt: skip
    rows = run_all(jobs, args.jobs)
    if args.json != "-":
        sys.stdout.write(table(rows))
    for path, text in _outputs(rows, args.json, args.csv):
        path.write_text(text, encoding="utf-8")
    if args.figure:
        from workloads.compare.figure import draw

        draw(rows, args.figure, f"{args.model} on {args.machine}, {args.prompt} + {args.gen} tokens")
    return 0 if any(not row.error for row in rows) else 1


def run_all(jobs: Sequence[Job], processes: int) -> list[Row]:
    """The jobs' rows in order; every one that is done is told on standard error."""
    start, done = time.monotonic(), {}
    with ProcessPoolExecutor(processes) as pool:
        futures = {pool.submit(measure, job): index for index, job in enumerate(jobs)}
        for future in as_completed(futures):
            row = done[futures[future]] = future.result()
            what = f"{row.simulated} of {row.forwards} forwards simulated" if not row.error else "refused"
            print(f"{len(done)}/{len(jobs)} {row.method}: {what}, {time.monotonic() - start:.0f} s", file=sys.stderr)
    return [done[index] for index in range(len(jobs))]


def _outputs(rows: Sequence[Row], json_path: str | None, csv_path: str | None) -> Iterator[tuple[Path, str]]:
    data = json.dumps(records(rows), indent=1) + "\n"
    if json_path == "-":
        sys.stdout.write(data)
    elif json_path:
        yield Path(json_path), data
    if csv_path:
        yield Path(csv_path), csv_text(rows)


def _check_outputs(paths: dict[str, str | None]) -> None:
    """Find out before the work, not after it, that a result has nowhere to go; raises WorkloadError."""
    for name, text in paths.items():
        if text is None:
            continue
        path = Path(text)
        if path.is_dir() or not path.parent.is_dir():
            found = "a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise WorkloadError(f"--{name} {text}: {found}; expected a file to write")
        if name == "figure":
            from workloads.compare.figure import check

            check(path)
