"""How many tokens each step commits."""

from __future__ import annotations


def transfer_counts(masked: int, steps: int) -> tuple[int, ...]:
    """Split `masked` tokens over `steps`: the floor each, the remainder one by one to the first steps.

    Source: get_num_transfer_tokens in ML-GSAI/LLaDA generate.py. More steps than tokens leaves zeros at the end.
    """
    share, extra = divmod(masked, steps)
    return (share + 1,) * extra + (share,) * (steps - extra)
