"""Settings for all tests: property tests draw the same examples every time and have no deadline of their own."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("archsim", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("archsim")
