"""What the row counts of a schedule rest on."""

from __future__ import annotations

CLOSED_FORM = "closed form"
"""The counts follow from what the method is."""
CODE_RUN = "code run"
"""The reference sampler was executed; tests compare every forward with its counts."""
CODE_READ = "code read"
"""The rule was taken from the source, which was not executed."""
PAPER_READ = "paper read"
"""The rule was taken from a paper or a README, without looking at code."""
ABSTRACT_ONLY = "abstract only"
"""Only an abstract is known: what it leaves open is an option, and figures are not to be validated against."""
