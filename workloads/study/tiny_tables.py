"""The tiny model's studies as text, line by line as results come."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from workloads.study.tiny import ULPS, kv_study, sampling_study, token_check
from workloads.tiny.reference import CACHES


def show(name: str, count: int, seed: int, *, programs: bool) -> None:
    """Run a study and write its table to standard output."""
    lines = {
        "kv": lambda: kv_lines(count, seed, programs=programs),
        "tokens": lambda: token_lines(count, seed),
        "sampling": lambda: sampling_lines(count, seed),
    }[name]()
    for line in lines:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def kv_lines(count: int, seed: int, *, programs: bool) -> Iterator[str]:
    """Exact match in percent, bytes, cycles per step."""
    caches = "".join(f"{cache:>8}" for cache in CACHES)
    yield f"{'':<21}{'KV':>7}  exact %{'':<17}  cycles a step"
    yield f"{'model':<12}{'scheme':<9}{'bytes':>7}{caches}  {caches}"
    for row in kv_study(count, seed, programs=programs):
        exact = "".join(f"{100 * value:>8.1f}" for value in row.exact)
        cycles = "".join(f"{value:>8.0f}" for value in row.cycles)
        yield f"{row.variant:<12}{row.scheme:<9}{row.kv_bytes:>7}{exact}  {cycles}"


def token_lines(count: int, seed: int) -> Iterator[str]:
    """Prompts whose tokens agree, and every other one."""
    yield f"{'formats':<24}{'cache':<8}{'prompts':>8}{'equal':>8}{'unexplained':>13}"
    for row in token_check(count, seed):
        yield f"{row.formats:<24}{row.cache:<8}{row.prompts:>8}{row.equal:>8}{row.unexplained:>13}"
        for index, gap in row.cases:
            yield f"  prompt {index}: least distance of the two largest logits {gap:.2f} ulps (a tie: below {ULPS})"


def sampling_lines(count: int, seed: int) -> Iterator[str]:
    """Equal commits, equal tokens and exact answers in percent."""
    yield f"{'cache':<8}{'logits':<8}{'sampler':<9}{'equal commits %':>16}{'equal tokens %':>16}{'exact %':>9}"
    for row in sampling_study(count, seed):
        shares = f"{100 * row.equal:>16.2f}{100 * row.same_token:>16.2f}{100 * row.exact:>9.1f}"
        yield f"{row.cache:<8}{row.logits:<8}{row.chip:<9}{shares}"
