"""Published speed-ups beside those of the same schedules on machines of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs

from workloads.compare.measure import Job, measure
from workloads.compare.rows import Row
from workloads.lowering.options import LoweringOptions
from workloads.methods import parse_method
from workloads.schedules import SCHEDULES
from workloads.schedules.options import flag

GPU, NPU = "gpu-like", "dart-2048"
AS_ON_GPU = LoweringOptions(weights="bf16", kv="bf16", acts="bf16", logits_format="bf16", kv_scheme="none")
"""Storage in the published runs."""


@attrs.frozen(kw_only=True)
class Published:
    """A published speed-up and what is run beside it.

    `figure` as printed; `hardware` as far as the sources read say; `method` and `base` as for `archsim compare`,
    both with what the reference code computes where `code` is set.
    """

    name: str
    setting: str
    figure: str
    hardware: str
    method: str
    base: str = "llada:block=32"
    model: str = "llada-8b"
    prompt: int = 896
    gen: int = 256
    code: bool = True


_FAST, _NONE = "A100 80GB", "not stated"


def _gsm8k(name: str, figure: str, method: str) -> Published:
    return Published(name=name, setting="GSM8K 5-shot, 256", figure=figure, hardware=_FAST, method=method)


def _humaneval(name: str, figure: str, method: str) -> Published:
    return Published(name=name, setting="HumanEval, 256", figure=figure, hardware=_FAST, method=method, prompt=160)


FIGURES = (
    _gsm8k("Fast-dLLM, prefix cache", "3.2", "llada-prefix"),
    _gsm8k("Fast-dLLM, parallel", "2.5", "fast-dllm:cache=none,mean=3.25"),
    _gsm8k("Fast-dLLM, both", "8.1", "fast-dllm:cache=prefix,mean=3.01"),
    _humaneval("Fast-dLLM, prefix cache", "1.3", "llada-prefix"),
    _humaneval("Fast-dLLM, parallel", "3.3", "fast-dllm:cache=none,mean=3.33"),
    _humaneval("Fast-dLLM, both", "3.7", "fast-dllm:cache=prefix,mean=3.33"),
    Published(name="Fast-dLLM, dual and parallel", setting="GSM8K 8-shot, 1024", figure="27.6", hardware=_FAST,
              method="fast-dllm:cache=dual,mean=7.3", prompt=1280, gen=1024, code=False),
    Published(name="dKV-Cache-Decode", setting="batches", figure="2-10", hardware=_NONE, method="dkv-decode"),
    Published(name="dLLM-Cache", setting="HotpotQA, FLOPs", figure="9.1", hardware=_NONE,
              method="dllm-cache:prompt-interval=100,gen-interval=8", prompt=128, gen=64),
    Published(name="FreeCache, with guidance", setting="mean of tasks", figure="12.1", hardware=_NONE,
              method="freecache"),
    Published(name="Window-Diffusion", setting="best case", figure="99", hardware=_NONE, method="window-diffusion",
              base="llada"),
    Published(name="DARE", setting="a layer", figure="1.2", hardware=_NONE, method="dare", prompt=128, gen=64),
    Published(name="dParallel", setting="GSM8K, forwards", figure="8.5", hardware=_NONE, method="dparallel"),
    Published(name="Prophet", setting="general, forwards", figure="2.3", hardware=_NONE, method="prophet"),
    Published(name="NI sampling", setting="best case, forwards", figure="14.3", hardware=_NONE,
              method="ni-sampling:mean=14.3", code=False),
    Published(name="context-aware initialisation", setting="GSM8K, forwards", figure="1.5", hardware=_NONE,
              method="context-init"),
    Published(name="model scheduling", setting="FLOPs", figure="1.2", hardware=_NONE, method="model-scheduling",
              base="llada"),
    Published(name="consistency distillation", setting="forwards", figure="16", hardware=_NONE, method="consistency",
              base="llada"),
    Published(name="PSD", setting="tokens per forward", figure="5.5", hardware=_NONE, method="psd:mean=5.5"),
    Published(name="TAPS", setting="over autoregressive", figure="7.9", hardware=_NONE, model="llama-3-8b",
              method="taps", base="autoregressive"),
    Published(name="BASTION", setting="over autoregressive", figure="6.6", hardware="A100", model="llama-3-8b",
              method="bastion:mean=6.61", base="autoregressive"),
    Published(name="Orthrus", setting="over autoregressive", figure="5.4", hardware=_NONE, model="llama-3-8b",
              method="orthrus:mean=5.36", base="autoregressive"),
    Published(name="Fast-dLLM on Dream, prefix cache", setting="GSM8K 5-shot, 256", figure="3.6", hardware=_FAST,
              model="dream-7b", method="fast-dllm-dream:cache=prefix", base="dream", code=False),
)  # fmt: skip
"""Sources are those of the schedules; tokens per forward are published, or follow from the published figure."""


def as_coded(method: str) -> str:
    """The method with what its reference code computes, where that is an option of its schedule."""
    schedule, _ = parse_method(method)
    if "as" not in map(flag, attrs.fields_dict(SCHEDULES[schedule])):
        return method
    return method + ("," if ":" in method else ":") + "as=implemented"


def jobs(figure: Published, machine: str, samples: int) -> tuple[Job, Job]:
    """The method's and the baseline's; on the GPU-like machine with the reference code's waste and formats."""
    gpu = machine == GPU
    names = (figure.method, figure.base)
    if gpu and figure.code:
        names = (as_coded(figure.method), as_coded(figure.base))
    options = AS_ON_GPU if gpu else LoweringOptions()
    method, base = (
        Job(machine=machine, model=figure.model, method=name, prompt=figure.prompt, gen=figure.gen, samples=samples,
            options=options)
        for name in names
    )  # fmt: skip
    return method, base


def speed(row: Row, host_ms: float = 0.0) -> float:
    """Tokens per second with so many milliseconds of host time before every forward."""
    return row.tokens / (row.time_ps / 1e12 + row.forwards * host_ms / 1e3)


def published_lines(host_ms: float, samples: int) -> Iterator[str]:
    """The table, a row as soon as it is there; reasons for what cannot be run below it."""
    yield f"{'':<33} {'':<20} {'':>9} {'':<10} {GPU:>8} {f'+{host_ms:g} ms':>8} {NPU:>9}"
    yield f"{'method':<33} {'setting':<20} {'published':>9} {'hardware':<10} {'':>8} {'host':>8}"
    done: dict[Job, Row] = {}
    reasons: list[str] = []
    for figure in FIGURES:
        cells = []
        for machine, hosts in ((GPU, (0.0, host_ms)), (NPU, (0.0,))):
            rows = _measured(jobs(figure, machine, samples), done)
            reason = next((row.error for row in rows if row.error), "")
            if reason:
                reasons.append(f"{figure.name} on {machine}: {reason}")
                cells += ["-"] * len(hosts)
            else:
                cells += [f"{speed(rows[0], host) / speed(rows[1], host):.2f}" for host in hosts]
        left = f"{figure.name:<33} {figure.setting:<20} {figure.figure:>9} {figure.hardware:<10}"
        yield f"{left} {cells[0]:>8} {cells[1]:>8} {cells[2]:>9}"
    yield from dict.fromkeys(reasons)


def _measured(pair: tuple[Job, Job], done: dict[Job, Row]) -> tuple[Row, Row]:
    for job in pair:
        if job not in done:
            sys.stderr.write(f"{job.machine}: {job.model} {job.method}\n")
            done[job] = measure(job)
    return done[pair[0]], done[pair[1]]
