"""What one forward of a denoising schedule does, and the protocol every schedule keeps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Protocol

import attrs

from archsim.errors import WorkloadError
from workloads.evidence import ABSTRACT_ONLY

KINDS = ("warm", "refine", "full", "prefill", "decode", "store")
_JSON_FIELDS = ("kind", "q_rows", "kv_rows", "head_rows", "sampled_rows", "committed", "sequences")
# Printed only for schedules that use them.
_JSON_EXTRAS = (
    "scattered",
    "branches",
    "free_commits",
    "gap_rows",
    "score",
    "draws",
    "loose_rows",
    "head_scattered",
    "operators",
    "network",
    "layers",
    "weight_density",
    "index_bits",
    "soft_rows",
    "soft_terms",
    "score_passes",
    "key_block",
    "chosen_blocks",
    "policy_parameters",
    "policy_rows",
    "compared_rows",
    "verified_rows",
    "end_test",
    "causal_rows",
    "separate",
    "tree",
    "provisional",
)


@attrs.frozen(kw_only=True)
class OperatorRows:
    """Rows per operator, for schedules whose layers do not send the same rows through every operator.

    All but `first_layer` are of the layers after the first.
    """

    first_layer: int
    """Rows of every operator of the first layer."""
    query: int
    key: int
    value: int
    attention: int
    """Query rows of attention."""
    feedforward: int
    """Rows of the output projection and the feed-forward part."""
    output: int | None = None
    """Rows of the output projection where they differ from those of the feed-forward part."""
    compared: str = ""
    """"value" or "query": what is compared with that of an earlier forward, to choose the rows of the others."""


@attrs.frozen(kw_only=True)
class Forward:
    """One pass through the model. Row counts are per sequence; `sequences` of them run in lock-step.

    Positions count from 0 at the first prompt row of the canvas (prompt followed by generated rows).
    The query rows are contiguous from `q_start`, the K/V rows written from `write_start`, the LM-head
    rows from `head_start`.
    """

    index: int
    """Number of the forward in the whole schedule, from 0, also when only a window is looked at."""
    kind: str
    """"warm" (fills the KV cache), "refine" (works on it), "full" (no cache), "prefill", "decode" or "store"
    (writes the K/V of a finished block and samples nothing)."""
    q_rows: int
    """Rows sent through every layer."""
    kv_rows: int
    """Rows that each query row attends to."""
    head_rows: int
    """Rows whose logits are computed."""
    sampled_rows: int
    """Rows whose logits are sampled: at most `head_rows`."""
    committed: int
    """Tokens fixed after this forward."""
    sequences: int
    """Sequences in the forward; with classifier-free guidance only every other one commits tokens."""
    q_start: int
    write_start: int
    write_rows: int
    """Rows whose K/V are written to the cache (or to the buffer standing in for one)."""
    head_start: int
    block_start: int
    """First position of the block being generated."""
    block_index: int
    step_in_block: int
    committing: int | None = None
    """Sequences that commit tokens, where not all do."""
    scattered: bool = False
    """The query rows or the rows they attend to are not contiguous; the starts are then those of the canvas."""
    loose_rows: int = 0
    """Query rows that stand alone where `scattered`, the others being one run; 0: all of them."""
    head_scattered: bool = False
    """The LM-head rows are not contiguous."""
    branches: int = 1
    """Drafts or trials in the forward: sequences of a batch, or rows of one sequence, which `q_rows` counts all."""
    free_commits: int = 0
    """Tokens fixed after this forward's commits from logits already known, without another forward."""
    gap_rows: int = 0
    """Rows whose two largest logits are also compared."""
    score: str = "confidence"
    """What rows are chosen by: "confidence" (probability of the token), "margin" (to the second token's),
    "entropy" or "random". "likelihood": nothing is chosen; each sequence's tokens get their log-likelihood.
    "stability": the probability, weighted by how little the row's distribution changed."""
    draws: int = 1
    """Tokens that are drawn for each sampled row."""
    operators: OperatorRows | None = None
    """Rows per operator; None: `q_rows` everywhere."""
    network: str = ""
    """Network beside the model that the forward goes through, with `layers` layers of the model's width and
    weights of its own; empty: the model."""
    layers: int = 0
    """Layers that run; 0: all of them."""
    weight_density: float = 1.0
    """Share of the layers' weights that is stored."""
    index_bits: int = 0
    """Bits with each stored weight that say which one it is, where not all are."""
    soft_rows: int = 0
    """Query rows whose input is a weighted sum of embedding rows instead of one of them."""
    soft_terms: int = 0
    """Embedding rows in such a sum; 0: all, which is a product with the whole embedding."""
    score_passes: int = 0
    """Further passes of the queries over all keys, with softmax and without values, to choose keys to keep."""
    key_block: int = 0
    """Rows of the blocks in which keys are chosen, for each head and query tile; 0: queries see all keys."""
    chosen_blocks: int = 0
    """Blocks that are chosen in this forward, which itself sees all keys, from its `score_passes`."""
    policy_parameters: int = 0
    """Weights of a small network that `policy_rows` rows go through, to choose rows."""
    policy_rows: int = 0
    compared_rows: int = 0
    """Rows whose probabilities are kept and compared with those of the forward before."""
    verified_rows: int = 0
    """Rows of a sequence whose drafted tokens are compared with those that the forward predicts."""
    end_test: bool = False
    """The tokens of the sampled rows are compared with the one that ends a text."""
    causal_rows: int = 0
    """Query rows of a group that sees no keys of the groups behind it, where these are the last keys; 1: every row
    sees what stands before it; 0: all see all keys."""
    separate: bool = False
    """Such groups, which are drafts of the same rows, see no keys of the groups before them either."""
    tree: int = 0
    """Nodes at each depth of the tree that the query rows are: each sees the keys before it, its ancestors and itself,
    and those that the forward accepts are moved behind each other afterwards; 0: no tree."""
    provisional: int = 0
    """Tokens fixed in a run or lane that others decide over; those that the output keeps are in `committed`."""


class Schedule(attrs.AttrsInstance, Protocol):
    """A denoising schedule: options in, forwards out. Schedules are frozen attrs classes."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """What it is about: "core", "caching", "steps" or "speculative"."""
    evidence: ClassVar[str]
    """What its row counts rest on, in a word of `workloads.evidence`."""
    source: ClassVar[str]
    """Publication or repository."""

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options, in declaration order, ready for JSON."""
        ...

    def forwards(self) -> Iterator[Forward]:
        """The forwards in order, made one at a time."""
        ...

    def describe(self) -> dict[str, Any]:
        """Name, resolved options and totals, ready for a trace header."""
        ...

    @property
    def commit_source(self) -> str | None:
        """Where commit counts that depend on data come from; None: the options fix them."""
        ...

    @property
    def unlowerable(self) -> str | None:
        """Why no program can be made of these forwards; None: one can."""
        ...


def require_lowerable(schedule: Schedule) -> None:
    """Raise WorkloadError with the reason if no program can be made of the schedule's forwards."""
    if schedule.unlowerable is not None:
        raise WorkloadError(f"schedule {schedule.name}: {schedule.unlowerable}; expected one that a program can run")


def header(schedule: Schedule) -> dict[str, Any]:
    """Name, resolved options, where commit counts that depend on data come from, and what is known too little of."""
    out = {"name": schedule.name, **schedule.params}
    if schedule.commit_source is not None:
        out["commit_source"] = schedule.commit_source
    if schedule.evidence == ABSTRACT_ONLY:
        out["evidence"] = f"{ABSTRACT_ONLY}, parametric"
    return out


def evidence_notes(schedule: Schedule) -> tuple[str, ...]:
    """What the reader of a report should know of the schedule, ready for a program's notes."""
    if schedule.evidence != ABSTRACT_ONLY:
        return ()
    return (f"schedule {schedule.name} is parametric: only the abstract of its paper is known",)


def summarize(schedule: Schedule) -> dict[str, Any]:
    """The usual `describe()`: totals over the schedule. Row and token totals are per sequence."""
    total = query = committed = 0
    for forward in schedule.forwards():
        total += 1
        query += forward.q_rows
        committed += forward.committed + forward.free_commits
    return {**header(schedule), "forwards": total, "query_rows": query, "tokens": committed}


@attrs.frozen
class Window:
    """A range of forwards, `start` inclusive to `stop` exclusive (None: to the end)."""

    start: int = 0
    stop: int | None = None

    def select(self, forwards: Iterable[Forward]) -> Iterator[Forward]:
        """The forwards inside the window, lazily; raises WorkloadError if the schedule ends before `stop`."""
        taken = 0
        for forward in itertools.islice(forwards, self.start, self.stop):
            taken += 1
            yield forward
        if taken == 0 or (self.stop is not None and taken < self.stop - self.start):
            raise WorkloadError(f"forwards {self}: the schedule ends before; expected a window inside it")

    def __str__(self) -> str:
        return f"{self.start}:{'' if self.stop is None else self.stop}"


def parse_window(text: str) -> Window:
    """Read "0:2", "3:", ":4" or "5" (one forward); raises WorkloadError."""
    match = re.fullmatch(r"(?P<only>\d+)|(?P<start>\d*):(?P<stop>\d*)", text.strip(), re.ASCII)
    if match is not None:
        only, start, stop = match["only"], match["start"], match["stop"]
        window = Window(int(only), int(only) + 1) if only else Window(int(start or 0), int(stop) if stop else None)
        if window.stop is None or window.start < window.stop:
            return window
    raise WorkloadError(f"forwards {text!r}: no window; expected START:STOP with START < STOP, such as 0:2")


def schedule_json(schedule: Schedule, window: Window | None = None) -> dict[str, Any]:
    """The schedule as JSON-ready data: {"schedule": ..., "forwards": [{kind, q_rows, ...}, ...]}."""
    forwards = list((window or Window()).select(schedule.forwards()))
    fields = attrs.fields_dict(Forward)
    extras = [key for key in _JSON_EXTRAS if any(getattr(row, key) != fields[key].default for row in forwards)]
    rows = [{key: _json_value(getattr(row, key)) for key in (*_JSON_FIELDS, *extras)} for row in forwards]
    return {"schedule": header(schedule), "forwards": rows}


def _json_value(value: Any) -> Any:
    if isinstance(value, OperatorRows):
        return attrs.asdict(value, filter=lambda _, rows: rows not in (None, ""))
    return value


def run_lengths(values: Iterable[object]) -> str:
    """Values run-length encoded: 24, 8, 8, 8 gives "24 8x3"."""
    runs = ((value, len(list(group))) for value, group in itertools.groupby(values))
    return " ".join(f"{value}x{count}" if count > 1 else f"{value}" for value, count in runs)
