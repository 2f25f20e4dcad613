"""The tiny model's tasks: prompts and answers of fixed length over an alphabet of 64 tokens.

Every canvas is a prompt of PROMPT tokens and an answer of ANSWER tokens, both filled up with END.
- addition:  `+123+456` -> `0579`; both numbers have three digits, the sum four.
- sorting:   `<dbca...` -> the six letters in alphabetical order.
- infilling: `?t.bl.` -> `table`; a word of the lexicon whose vowels are hidden.
"""

from __future__ import annotations

import random

import attrs

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz+<?. "
MASK, END, VOCAB = 63, 62, 64
"""Token ids: of a position not yet decided, of padding; and the number of ids."""

PROMPT, ANSWER = 16, 16
"""Tokens of a prompt and of an answer."""

_LEXICON = (
    "about above after again alone among angle apple basic beach begin black blood board bring brown build "
    "chain chair cheap check chest child clean clear clock cloud coast cover crowd dance depth dress drink "
    "early earth empty enter equal error event field final first floor focus fresh front fruit glass grand "
    "grass green group guide happy heart heavy horse hotel house human image issue joint judge large laugh "
    "learn level light limit lunch magic major match metal model money month motor mouth movie music night "
    "noise north novel nurse ocean offer order other owner paint paper party peace phase phone photo piano "
    "piece pilot pitch place plain plane plant plate point pound power press price pride prize proof queen "
    "quick quiet radio range ratio reply right river rough round route scale scene scope score sense shape "
    "share sharp sheet shirt shock short skill sleep small smile smoke solid sound south space speed sport "
    "staff stage stand start state steam steel stock stone store study style sugar table taste theme thing "
    "title tooth total touch tower track trade train treat trend trial trust truth uncle union unity value "
    "video visit voice waste watch water wheel white whole woman world youth"
)
WORDS = _LEXICON.split()
"""The words of infilling."""

TASKS = ("addition", "sorting", "infilling")


@attrs.frozen
class Example:
    """A prompt with its answer, as text without padding."""

    task: str
    prompt: str
    answer: str

    @property
    def prompt_ids(self) -> list[int]:
        """PROMPT token ids."""
        return encode(self.prompt, PROMPT)

    @property
    def answer_ids(self) -> list[int]:
        """ANSWER token ids."""
        return encode(self.answer, ANSWER)


def encode(text: str, length: int) -> list[int]:
    """Token ids of `text`, filled up with END to `length`."""
    ids = [ALPHABET.index(char) for char in text]
    return ids + [END] * (length - len(ids))


def decode(ids: list[int]) -> str:
    """The text up to the first END; tokens without a character show as `_`."""
    text = ids[: ids.index(END)] if END in ids else ids
    return "".join(ALPHABET[i] if i < len(ALPHABET) else "_" for i in text)


def held_out(first: int, second: int) -> bool:
    """Whether a sum is kept from training: one pair in sixteen."""
    return (first * 31 + second * 17) % 16 == 5


def addition(rng: random.Random, *, test: bool) -> Example:
    """A sum, one of those held out if `test`, else one of the others."""
    while True:
        first, second = rng.randrange(1000), rng.randrange(1000)
        if held_out(first, second) == test:
            return Example("addition", f"+{first:03}+{second:03}", f"{first + second:04}")


def sorting(rng: random.Random) -> Example:
    """Six letters to be sorted; with 3e8 of them, test and training examples hardly ever meet."""
    letters = "".join(rng.choices(ALPHABET[10:36], k=6))
    return Example("sorting", f"<{letters}", "".join(sorted(letters)))


def infilling(rng: random.Random) -> Example:
    """A word without its vowels; the lexicon is the same in training and test."""
    word = rng.choice(WORDS)
    return Example("infilling", "?" + "".join("." if char in "aeiou" else char for char in word), word)


def example(task: str, rng: random.Random, *, test: bool) -> Example:
    """An example of the task."""
    if task == "addition":
        return addition(rng, test=test)
    return sorting(rng) if task == "sorting" else infilling(rng)


def held_out_set(count: int, seed: int = 0) -> list[Example]:
    """`count` test examples, the tasks in turn: half of them additions."""
    rng = random.Random(seed)
    order = ("addition", "sorting", "addition", "infilling")
    return [example(order[i % 4], rng, test=True) for i in range(count)]
