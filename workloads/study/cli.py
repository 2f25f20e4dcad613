"""`python -m workloads study NAME ...`: run a study and print its table."""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.cli import Parser
from workloads.study.kv import Errors, study
from workloads.study.methods import STUDIED
from workloads.study.synthetic import SCENARIOS

STUDIES = ("kv-synthetic",)
HEADINGS = ("method", "bits", "K dB", "logits dB", "V dB", "output dB", "KL nats", "beyond %")


def main(argv: list[str]) -> int:
    """Run the study and return 0; raises WorkloadError for arguments it cannot use."""
    parser = Parser(prog="python -m workloads study", description="Experiments beside the simulator.")
    parser.add_argument("name", choices=STUDIES, help="kv-synthetic: error of KV formats on synthetic K and V")
    parser.add_argument("--seeds", default="0:4", metavar="START:STOP", help="seeds of the data (default 0:4)")
    parser.add_argument("--scenario", default="A", choices=tuple(SCENARIOS), help=_scenario_help())
    args = parser.parse_args(argv)
    scenario, seeds = SCENARIOS[args.scenario], parse_seeds(args.seeds)
    print(f"scenario {args.scenario} ({scenario.about}), seeds {seeds.start}..{seeds.stop - 1}")
    print(table(study(scenario, seeds)))
    return 0


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
