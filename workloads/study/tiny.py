"""Studies on the tiny model: KV schemes by accuracy, programs by their tokens, sampling by the format of logits."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

import archsim
from archsim.isa.semantics.methods import METHODS
from workloads.lowering.options import KV_SCHEMES, LoweringOptions
from workloads.tiny.checkpoint import Checkpoint, fold, load_checkpoint, with_outliers
from workloads.tiny.program import FLOAT_OPTIONS, Run, numerics_of, run_program, tiny_program
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


def reference_run(
    checkpoint: Checkpoint, prompts: Ids, numerics: Numerics, cache: str
) -> tuple[Ids, list[Choice]]:
    """Canvases and choices of the plain numpy model."""
    model = Reference(checkpoint if numerics == FLOAT else fold(checkpoint), numerics)
    return generate(model, prompts, gen=ANSWER, block=BLOCK, steps=STEPS, cache=cache)


# -- KV schemes


@attrs.frozen(kw_only=True)
class KvRow:
    """One scheme on one variant; accuracies and cycles by cache policy."""

    variant: str
    scheme: str
    kv_bytes: int
    """Of a sequence's cache: codes, shared scales, channel factors."""
    exact: tuple[float, ...]
    cycles: tuple[float, ...]


def kv_study(count: int, seed: int, *, programs: bool) -> Iterator[KvRow]:
    """Every scheme on both variants; values by `programs`, else by the reference, which is as exact and quicker."""
    prompts, answers = prompts_and_answers(count, seed)
    cycles = {scheme: tuple(cycles_per_step(kv_options(scheme), cache) for cache in CACHES) for scheme in KV_SCHEMES}
    for variant, checkpoint in variants().items():
        for scheme in METHODS:
            exact = []
            for cache in CACHES:
                if programs:
                    run = Run(cache=cache, batch=min(BATCH, count))
                    canvas = run_program(checkpoint, prompts, run, kv_options(scheme), chip="bf16")
                else:
                    numerics = attrs.evolve(numerics_of(PLAIN, "bf16"), method=METHODS[scheme])
                    canvas, _ = reference_run(checkpoint, prompts, numerics, cache)
                exact.append(float((canvas[:, PROMPT:] == answers).all(axis=1).mean()))
            yield KvRow(
                variant=variant, scheme=scheme, kv_bytes=kv_bytes(checkpoint, scheme), exact=tuple(exact),
                cycles=cycles[scheme],
            )  # fmt: skip


def kv_options(scheme: str) -> LoweringOptions:
    """BF16 but for the KV cache."""
    return attrs.evolve(PLAIN, kv={"none": "bf16", "kivi": "int4_asymmetric"}.get(scheme, "mxint4"), kv_scheme=scheme)


def kv_bytes(checkpoint: Checkpoint, scheme: str) -> int:
    """Bytes of one sequence's cache; channel factors are BF16."""
    shape, method = checkpoint.shape, METHODS[scheme]
    channels = 2 * shape.layers * shape.kv_width
    factors = 2 * channels if method.k.calibrated != "never" else 0
    return round(channels * (PROMPT + ANSWER) * method.bits_per_element / 8) + factors


def cycles_per_step(options: LoweringOptions, cache: str) -> float:
    """Mean cycles of a forward of one sequence on machine `tiny`."""
    run = Run(cache=cache, batch=1)
    program, _ = tiny_program(load_checkpoint(), run, options, "tiny")
    return archsim.simulate(program, archsim.load_machine("tiny")).cycles / STEPS


# -- tokens of programs


@attrs.frozen(kw_only=True)
class TokenRow:
    """Prompts whose canvases agree, and of the others the index and the least gap of a choice, in ulps on chip."""

    formats: str
    cache: str
    equal: int
    prompts: int
    cases: tuple[tuple[int, float], ...]

    @property
    def unexplained(self) -> int:
        """Cases that no tie explains."""
        return sum(gap >= ULPS for _, gap in self.cases)


def token_check(count: int, seed: int) -> Iterator[TokenRow]:
    """Programs against the reference, for every format and cache policy."""
    prompts, _ = prompts_and_answers(count, seed)
    checkpoint = load_checkpoint()
    for name, (options, chip) in CHECKED.items():
        for cache in CACHES:
            wanted, choices = reference_run(checkpoint, prompts, numerics_of(options, chip), cache)
            run = Run(cache=cache, batch=min(BATCH, count))
            found = run_program(checkpoint, prompts, run, options, chip=chip)
            gaps = np.min([np.where(c.masked, c.gap, np.inf).min(axis=1) for c in choices], axis=0) / _CHIP_ULP[chip]
            different = np.flatnonzero((found != wanted).any(axis=1))
            yield TokenRow(
                formats=name, cache=cache, equal=count - len(different), prompts=count,
                cases=tuple((int(index), float(gaps[index])) for index in different),
            )  # fmt: skip


# -- formats of logits

LOGITS = (("fp32", "fp32"), ("bf16", "fp32"), ("mxfp8", "fp32"), ("fp32", "bf16"), ("bf16", "bf16"), ("mxfp8", "bf16"))
"""Formats of logits, and of what sampling computes with them."""


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


def sampling_study(count: int, seed: int) -> Iterator[SamplingRow]:
    """Logits of the FP32 model rounded before sampling; exact answers are of a generation that samples so."""
    prompts, answers = prompts_and_answers(count, seed)
    checkpoint = load_checkpoint()
    for cache in CACHES:
        _, choices = reference_run(checkpoint, prompts, FLOAT, cache)
        for logits, chip in LOGITS:
            sampler = Reference(checkpoint, Numerics(chip=chip))
            equal, same = [], []
            for choice in choices:
                other = choose(sampler, through(choice.logits, logits), choice.masked, int(choice.taken[0].sum()))
                token = other.tokens == choice.tokens
                equal.append(((other.taken == choice.taken) & (token | ~choice.taken)).all(axis=1).mean())
                same.append(token[choice.masked].mean())
            canvas = generate_rounded(checkpoint, prompts, logits, chip, cache)
            exact = float((canvas[:, PROMPT:] == answers).all(axis=1).mean())
            yield SamplingRow(
                logits=logits, chip=chip, cache=cache, equal=float(np.mean(equal)), same_token=float(np.mean(same)),
                exact=exact,
            )  # fmt: skip


def generate_rounded(checkpoint: Checkpoint, prompts: Ids, logits: str, chip: str, cache: str) -> Ids:
    """Canvases of the FP32 model with logits, and what sampling makes of them, in the formats."""
    model = Reference(checkpoint, Numerics(logits=logits))
    sampler = Reference(checkpoint, Numerics(chip=chip))
    return generate(model, prompts, gen=ANSWER, block=BLOCK, steps=STEPS, cache=cache, sampler=sampler)[0]
