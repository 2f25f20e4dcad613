"""Workloads: model shapes, denoising schedules, and their lowering to programs."""
