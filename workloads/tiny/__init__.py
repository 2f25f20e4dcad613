"""A small masked-diffusion model with real weights, its reference, and its programs."""

from __future__ import annotations
