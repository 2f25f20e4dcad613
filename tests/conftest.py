"""Settings for all tests: property tests draw the same examples every time and have no deadline of their own."""

from __future__ import annotations

import os

from hypothesis import settings

# Before numpy is imported: tests run in processes side by side, whose threads would take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("archsim", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("archsim")
