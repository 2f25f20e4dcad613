"""Studies on the tiny model: programs by their tokens, sampling by the format of logits."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import numpy.typing as npt

from workloads.lowering.options import LoweringOptions
from workloads.study.jobs import in_order
from workloads.tiny.checkpoint import Checkpoint, fold, load_checkpoint, with_outliers
from workloads.tiny.program import FLOAT_OPTIONS, Run, numerics_of, run_program
from workloads.tiny.reference import CACHES, FLOAT, Choice, Ids, Numerics, Reference, choose, generate, through
from workloads.tiny.tasks import ANSWER, PROMPT, held_out_set

BLOCK, STEPS = 8, 16
BATCH = 20
PLAIN = LoweringOptions(weights="bf16", kv="bf16", acts="bf16", logits_format="bf16", kv_scheme="none")
"""Everything in BF16, so that the KV scheme alone makes a difference."""
CHECKED: dict[str, tuple[LoweringOptions, str]] = {
    "fp32": (FLOAT_OPTIONS, "fp32"),
    "bf16": (PLAIN, "bf16"),
    "mxint8": (LoweringOptions(weights="mxint8", kv="mxint8", acts="mxint8", kv_scheme="rtn"), "bf16"),
    "mxint8, KV mxint4 baos": (LoweringOptions(weights="mxint8", kv="mxint4", acts="mxint8"), "bf16"),
    "mxint8, KV kivi": (
        LoweringOptions(weights="mxint8", kv="int4_asymmetric", acts="mxint8", kv_scheme="kivi"), "bf16"
    ),
}
"""Formats whose programs are compared with the reference: options, and format of values on chip."""
ULPS = 4
"""Two logits closer than this many units of the larger one's last place, in the format on chip, are a tie."""
_CHIP_ULP = {"fp32": 1, "bf16": 1 << 16}


def variants() -> dict[str, Checkpoint]:
    """The trained model, and the same with outlier channels in its keys."""
    return {"trained": load_checkpoint(), "K outliers": with_outliers(load_checkpoint())}


def prompts_and_answers(count: int, seed: int) -> tuple[Ids, Ids]:
    """Held-out examples: (count, PROMPT) and (count, ANSWER)."""
    examples = held_out_set(count, seed)
    return np.array([one.prompt_ids for one in examples]), np.array([one.answer_ids for one in examples])


def exact_share(canvases: Ids, answers: Ids) -> float:
    """Share of canvases (sequences, tokens) that end in their answers."""
    right: npt.NDArray[np.bool_] = (canvases[:, PROMPT:] == answers).all(axis=1)
    return float(right.mean())


def reference_run(
    checkpoint: Checkpoint, prompts: Ids, numerics: Numerics, cache: str
) -> tuple[Ids, list[Choice]]:
    """Canvases and choices of the plain numpy model."""
    model = Reference(checkpoint if numerics == FLOAT else fold(checkpoint), numerics)
    return generate(model, prompts, gen=ANSWER, block=BLOCK, steps=STEPS, cache=cache)


# -- tokens of programs


@attrs.frozen(kw_only=True)
class Case:
    """A prompt whose canvas differs from the reference's."""

    prompt: int
    gap: float
    """Least distance of the two largest logits of any choice, in units of the last place on chip."""

    @property
    def tie(self) -> bool:
        """Whether a tie explains it."""
        return self.gap < ULPS


def cases_of(found: Ids, wanted: Ids, choices: list[Choice], chip: str) -> tuple[Case, ...]:
    """Prompts whose canvases differ from the reference's, which made the choices."""
    gaps = np.min([np.where(c.masked, c.gap, np.inf).min(axis=1) for c in choices], axis=0) / _CHIP_ULP[chip]
    different = np.flatnonzero((found != wanted).any(axis=1))
    return tuple(Case(prompt=int(index), gap=float(gaps[index])) for index in different)


@attrs.frozen(kw_only=True)
class TokenTask:
    """Formats, a name of `CHECKED`, and a cache policy."""

    formats: str
    cache: str
    count: int
    seed: int


@attrs.frozen(kw_only=True)
class TokenRow:
    """How many prompts there were, and those whose canvases differ."""

    formats: str
    cache: str
    prompts: int
    cases: tuple[Case, ...]

    @property
    def unexplained(self) -> int:
        """Cases that no tie explains."""
        return sum(not case.tie for case in self.cases)


def token_check(count: int, seed: int, jobs: int = 1) -> Iterator[TokenRow]:
    """Programs against the reference, for every format and cache policy."""
    tasks = [
        TokenTask(formats=name, cache=cache, count=count, seed=seed) for name in CHECKED for cache in CACHES
    ]
    return in_order(token_row, tasks, jobs)


def token_row(task: TokenTask) -> TokenRow:
    """Programs against the reference, once."""
    prompts, _ = prompts_and_answers(task.count, task.seed)
    checkpoint, (options, chip) = load_checkpoint(), CHECKED[task.formats]
    wanted, choices = reference_run(checkpoint, prompts, numerics_of(options, chip), task.cache)
    run = Run(cache=task.cache, batch=min(BATCH, task.count))
    found = run_program(checkpoint, prompts, run, options, chip=chip)
    cases = cases_of(found, wanted, choices, chip)
    return TokenRow(formats=task.formats, cache=task.cache, prompts=task.count, cases=cases)


# -- formats of logits

LOGITS = ("fp32", "bf16", "mxfp8")
SAMPLERS = ("fp32", "bf16")
"""Formats of logits, and of what sampling computes with them."""


@attrs.frozen(kw_only=True)
class SamplingTask:
    """A cache policy and the format of the sampler's values."""

    cache: str
    chip: str
    count: int
    seed: int


@attrs.frozen(kw_only=True)
class SamplingRow:
    """Share of forwards of all sequences that commit the same (position, token) as with FP32, and exact answers."""

    logits: str
    chip: str
    cache: str
    equal: float
    same_token: float
    """Share of masked rows whose largest logit is the same token."""
    exact: float


def sampling_study(count: int, seed: int, jobs: int = 1) -> Iterator[SamplingRow]:
    """Logits of the FP32 model rounded before sampling; exact answers are of a generation that samples so."""
    tasks = [
        SamplingTask(cache=cache, chip=chip, count=count, seed=seed) for cache in CACHES for chip in SAMPLERS
    ]
    for rows in in_order(sampling_rows, tasks, jobs):
        yield from rows


def sampling_rows(task: SamplingTask) -> list[SamplingRow]:
    """Every format of logits."""
    prompts, answers = prompts_and_answers(task.count, task.seed)
    checkpoint, rows = load_checkpoint(), []
    _, choices = reference_run(checkpoint, prompts, FLOAT, task.cache)
    sampler = Reference(checkpoint, Numerics(chip=task.chip))
    for logits in LOGITS:
        equal, same = [], []
        for choice in choices:
            other = choose(sampler, through(choice.logits, logits), choice.masked, int(choice.taken[0].sum()))
            token = other.tokens == choice.tokens
            equal.append(((other.taken == choice.taken) & (token | ~choice.taken)).all(axis=1).mean())
            same.append(token[choice.masked].mean())
        canvas = generate_rounded(checkpoint, prompts, logits, task.chip, task.cache)
        rows.append(SamplingRow(
            logits=logits, chip=task.chip, cache=task.cache, equal=float(np.mean(equal)),
            same_token=float(np.mean(same)), exact=exact_share(canvas, answers),
        ))  # fmt: skip
    return rows


def generate_rounded(checkpoint: Checkpoint, prompts: Ids, logits: str, chip: str, cache: str) -> Ids:
    """Canvases of the FP32 model with logits, and what sampling makes of them, in the formats."""
    model = Reference(checkpoint, Numerics(logits=logits))
    sampler = Reference(checkpoint, Numerics(chip=chip))
    return generate(model, prompts, gen=ANSWER, block=BLOCK, steps=STEPS, cache=cache, sampler=sampler)[0]
