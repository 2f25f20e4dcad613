"""How rows are sampled: what a schedule leaves open, as `--sampling WORD[=VALUE],...` says it."""

from __future__ import annotations

import math
from typing import Any

import attrs

from archsim.errors import WorkloadError

SCORES = ("confidence", "margin", "entropy", "random")
"""What rows are chosen by: probability of the token, that less the second token's, negative entropy, chance."""
SELECTIONS = ("top-k", "threshold", "factor")
"""How many rows take their token: as many as the schedule says, or all that pass."""
_NUMBERS = {
    "temperature": (0.0, 64.0, "a number from 0 to 64"),
    "top-p": (0.0, 1.0, "a number above 0, at most 1"),
    "threshold": (0.0, 1.0, "a number above 0, at most 1"),
    "factor": (0.0, 256.0, "a number above 0, at most 256"),
}
_EXPECTED = f"{', '.join(SCORES)}, top-k, chunk=N, {', '.join(f'{name}=X' for name in _NUMBERS)}"


@attrs.frozen(kw_only=True)
class SamplingVariant:
    """The sampling phase's choices; the default is greedy tokens and what the schedule's forwards say.

    score         what rows are chosen by, empty: what the forward says
    temperature   Gumbel noise on the logits before the token is taken, times this; 0: none
    top_p         only the most probable tokens that together have this probability; 1: all
    select        "top-k": as many rows as the forward commits; "threshold": all whose probability is at least
                  `level`, and the best one in any case; "factor": the n best, as long as (n + 1) (1 - probability
                  of the n-th) is at most `level`, and the best one in any case
    chunk         vocabulary entries that are worked on at once; 0: whole rows where they fit
    """

    score: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    select: str = "top-k"
    level: float = 0.0
    chunk: int = 0

    @property
    def noisy(self) -> bool:
        """Whether tokens are drawn."""
        return self.temperature > 0

    def __str__(self) -> str:
        """The words that ask for it."""
        choice = f"{self.select}={self.level:g}" if self.select != "top-k" else ""
        numbers = {"temperature": (self.temperature, 0), "top-p": (self.top_p, 1), "chunk": (self.chunk, 0)}
        valued = [f"{name}={value:g}" for name, (value, default) in numbers.items() if value != default]
        return ",".join(word for word in (self.score, choice, *valued) if word) or "confidence"

    @property
    def constants(self) -> bool:
        """Whether the program needs constants of its own in FP_MEM."""
        return self.noisy or self.top_p < 1 or self.select != "top-k"


GREEDY = SamplingVariant()


def parse_sampling(text: str) -> SamplingVariant:
    """Read "entropy,temperature=0.2,top-p=0.9"; raises WorkloadError."""
    given: dict[str, Any] = {}
    for word in text.split(","):
        name, equals, value = word.strip().partition("=")
        new = _plain(name) if not equals else _valued(name, value)
        if new is None:
            raise WorkloadError(f"sampling {text!r}: {word.strip()!r}; expected {_EXPECTED}")
        twice = given.keys() & new.keys()
        if twice:
            raise WorkloadError(f"sampling {text!r}: {word.strip()!r} is the second of its kind; expected one")
        given |= new
    variant = SamplingVariant(**given)
    if variant.select != "top-k" and variant.score not in ("", "confidence"):
        raise WorkloadError(f"sampling {text!r}: {variant.select} of {variant.score}; expected confidence, or top-k")
    return variant


def _plain(name: str) -> dict[str, object] | None:
    if name in SCORES:
        return {"score": name}
    return {"select": name} if name == "top-k" else None


def _valued(name: str, text: str) -> dict[str, object] | None:
    if name == "chunk":
        return {"chunk": int(text)} if text.isascii() and text.isdecimal() and int(text) > 0 else None
    if name not in _NUMBERS:
        return None
    low, high, expected = _NUMBERS[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low < value <= high or (name == "temperature" and value == 0)):
        raise WorkloadError(f"sampling {name}={text}; expected {expected}")
    if name in SELECTIONS:
        return {"select": name, "level": value}
    return {name.replace("-", "_"): value}
