"""The tiny model's studies as text, line by line as results come."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from workloads.study.tiny import BATCH, ULPS, Case, sampling_study, token_check
from workloads.study.tiny_kv import kv_study
from workloads.tiny.reference import CACHES


def show(name: str, count: int, seed: int, *, reference: bool, jobs: int) -> None:
    """Run a study in `jobs` processes and write its table to standard output."""
    lines = {
        "kv": lambda: kv_lines(count, seed, reference=reference, jobs=jobs),
        "tokens": lambda: token_lines(count, seed, jobs),
        "sampling": lambda: sampling_lines(count, seed, jobs),
    }[name]()
    for line in lines:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def kv_lines(count: int, seed: int, *, reference: bool, jobs: int) -> Iterator[str]:
    """Exact match in percent, bytes, cycles per step; with `reference` its exact match, and where tokens differ."""
    caches = "".join(f"{cache:>8}" for cache in CACHES)
    heads = ["exact %", f"cycles a step, batch {min(BATCH, count)}", *["reference exact %"] * reference]
    yield (f"{'':<21}{'KV':>7}" + "".join(f"  {head:<24}" for head in heads)).rstrip()
    yield f"{'model':<12}{'scheme':<9}{'bytes':>7}{caches}  {caches}" + (f"  {caches}" if reference else "")
    for row in kv_study(count, seed, reference=reference, jobs=jobs):
        exact = "".join(f"{100 * cell.exact:>8.1f}" for cell in row.cells)
        cycles = "".join(f"{value:>8.0f}" for value in row.cycles)
        line = f"{row.variant:<12}{row.scheme:<9}{row.kv_bytes:>7}{exact}  {cycles}"
        yield line + ("  " + "".join(f"{100 * cell.reference:>8.1f}" for cell in row.cells) if reference else "")
        for cell in row.cells:
            yield from (f"  cache {cell.cache}, {_told(case)}" for case in cell.cases)


def token_lines(count: int, seed: int, jobs: int) -> Iterator[str]:
    """Prompts whose tokens agree, and every other one."""
    yield f"{'formats':<24}{'cache':<8}{'prompts':>8}{'equal':>8}{'unexplained':>13}"
    for row in token_check(count, seed, jobs):
        equal = row.prompts - len(row.cases)
        yield f"{row.formats:<24}{row.cache:<8}{row.prompts:>8}{equal:>8}{row.unexplained:>13}"
        yield from (f"  {_told(case)}" for case in row.cases)


def _told(case: Case) -> str:
    return f"prompt {case.prompt}: least distance of the two largest logits {case.gap:.2f} ulps (a tie: below {ULPS})"


def sampling_lines(count: int, seed: int, jobs: int) -> Iterator[str]:
    """Equal commits, equal tokens and exact answers in percent."""
    yield f"{'cache':<8}{'logits':<8}{'sampler':<9}{'equal commits %':>16}{'equal tokens %':>16}{'exact %':>9}"
    for row in sampling_study(count, seed, jobs):
        shares = f"{100 * row.equal:>16.2f}{100 * row.same_token:>16.2f}{100 * row.exact:>9.1f}"
        yield f"{row.cache:<8}{row.logits:<8}{row.chip:<9}{shares}"
