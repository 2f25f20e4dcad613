"""`python -m workloads study NAME ...`: run a study and print its table."""

from __future__ import annotations

import argparse

from archsim.console import Parser
from archsim.errors import WorkloadError
from workloads.study.jobs import cores
from workloads.study.kv import Errors, study
from workloads.study.methods import STUDIED
from workloads.study.synthetic import SCENARIOS

STUDIES = ("kv-synthetic", "kv", "tokens", "sampling", "sampling-cost", "published")
_ABOUT = (
    "kv-synthetic: error of KV formats on synthetic K and V; kv: accuracy, bytes and cycles of KV schemes on the tiny "
    "model; tokens: its programs against the reference; sampling: its commits by format of the logits; "
    "sampling-cost: time of every way of sampling on a machine; published: published speed-ups beside ours"
)
_JOBS = "processes of kv-synthetic, kv, tokens and sampling (default: as many as there are cores)"
HEADINGS = ("method", "bits", "K dB", "logits dB", "V dB", "output dB", "KL nats", "beyond %")


def main(argv: list[str]) -> int:
    """Run the study and return 0; raises WorkloadError for arguments it cannot use."""
    parser = Parser(prog="python -m workloads study", description="Experiments beside the simulator.")
    parser.add_argument("name", choices=STUDIES, help=_ABOUT)
    parser.add_argument("--seeds", default="0:4", metavar="START:STOP", help="seeds of the data (default 0:4)")
    parser.add_argument("--scenario", default="A", choices=tuple(SCENARIOS), help=_scenario_help())
    parser.add_argument("--prompts", type=int, default=200, metavar="N", help="held-out prompts (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the prompts (default 0)")
    parser.add_argument("--reference", action="store_true", help="kv: compare with the reference, prompt by prompt")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help=_JOBS)
    parser.add_argument("--machine", default="dart-2048", metavar="NAME|FILE", help="sampling-cost: the machine")
    parser.add_argument("--model", default="llada-8b", help="sampling-cost: the model")
    parser.add_argument("--host-ms", type=float, default=25.0, metavar="X", help="published: host time of a forward")
    parser.add_argument("--samples", type=int, default=3, metavar="N", help="published: forwards simulated of a run")
    args = parser.parse_args(argv)
    if args.samples < 1 or not 0 <= args.host_ms < float("inf"):
        raise WorkloadError("--samples, --host-ms: expected at least 1, and a finite number of at least 0")
    if args.prompts < 1:
        raise WorkloadError(f"--prompts: {args.prompts}; expected at least 1")
    if args.jobs < 1:
        raise WorkloadError(f"--jobs: {args.jobs}; expected at least 1")
    if args.name in ("sampling-cost", "published"):
        _print_timed(args)
        return 0
    if args.name != "kv-synthetic":
        from workloads.study import tiny_tables

        print(f"{args.prompts} held-out prompts, seed {args.seed}")
        tiny_tables.show(args.name, args.prompts, args.seed, reference=args.reference, jobs=args.jobs)
        return 0
    scenario, seeds = SCENARIOS[args.scenario], parse_seeds(args.seeds)
    print(f"scenario {args.scenario} ({scenario.about}), seeds {seeds.start}..{seeds.stop - 1}")
    print(table(study(scenario, seeds, jobs=args.jobs)))
    return 0


def _print_timed(args: argparse.Namespace) -> None:
    """Studies that simulate time, line by line as results come."""
    from workloads.models import load_model
    from workloads.study.published import published_lines
    from workloads.study.sampling_cost import cost_lines

    if args.name == "published":
        lines = published_lines(args.host_ms, args.samples)
    else:
        lines = cost_lines(load_model(args.model), args.machine)
    for line in lines:
        print(line, flush=True)


def parse_seeds(text: str) -> range:
    """`START:STOP` as a range that is not empty; raises WorkloadError."""
    start, colon, stop = text.partition(":")
    if not (colon and start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        raise WorkloadError(f"--seeds: {text!r}; expected START:STOP with START below STOP, such as 0:4")
    return range(int(start), int(stop))


def table(results: dict[str, Errors]) -> str:
    """One method a line, in the order of `STUDIED`."""
    lines = ["{:<14}{:>6}{:>8}{:>11}{:>8}{:>11}{:>9}{:>10}".format(*HEADINGS)]
    for name, errors in results.items():
        figures = f"{errors.k:>8.2f}{errors.logits:>11.2f}{errors.v:>8.2f}{errors.output:>11.2f}{errors.kl:>9.4f}"
        lines.append(f"{name:<14}{STUDIED[name].bits_per_element:>6.2f}{figures}{100 * errors.exceeded:>10.2f}")
    return "\n".join(lines)


def _scenario_help() -> str:
    return "; ".join(f"{name}: {scenario.about}" for name, scenario in SCENARIOS.items()) + " (default A)"
