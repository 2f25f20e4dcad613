"""The flit-level network beside BookSim 2, row by row of a table that BookSim measured.

Tolerances: 1 % at zero load; 5 % of the packet latency up to 80 % of the saturation rate; 10 % of the saturation
rate, which is taken in both tools as the middle between the last stable and the first unstable rate of the
table's rates: a check no finer than half a step of those, 3 % on a 4 x 4 mesh with four virtual channels and 14 %
on an 8 x 8 mesh with one, which the latencies just below saturation sharpen. Rows above 80 % of saturation are
shown without a tolerance: there the average follows the length of the run and the few bursts in it, and seeds
differ by tens of per cent.

The zero-load rows hold about a thousand packets, whose mean distance is chance; they are compared at BookSim's
own mean distance, 4 cycles for each router of difference.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import attrs

from archsim.micro.table import read_table
from archsim.micro.validation import DATA, Row
from archsim.noc.packet_measure import measure
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams

ZERO_LOAD_RATE = 0.001
CYCLES_PER_ROUTER = 4
ZERO_LOAD_TOLERANCE, LATENCY_TOLERANCE, SATURATION_TOLERANCE = 0.01, 0.05, 0.10
LOADED_PART = 0.8
"""Part of the saturation rate up to which latencies are held to the tolerance."""

MESH4, MESH8 = DATA / "booksim2_mesh_uniform_xy.csv", DATA / "booksim2_mesh8_uniform_xy.csv"

QUICK = {
    (4, 4, 1, 0.001), (4, 4, 1, 0.3), (4, 4, 4, 0.001), (4, 4, 4, 0.4), (4, 1, 1, 0.001), (4, 1, 1, 0.2),
    (4, 1, 4, 0.001), (4, 1, 4, 0.2), (4, 1, 4, 0.3), (4, 1, 4, 0.35), (8, 4, 1, 0.001), (8, 1, 4, 0.001),
}  # fmt: skip
"""(k, VCs, flits, rate) of the rows that are measured when not all are; one saturation rate is among them."""

_COLUMNS = ("k", "num_vcs", "vc_buf_size", "packet_size", "injection_rate_flits", "packet_latency", "unstable")


@attrs.frozen(kw_only=True)
class Config:
    """A k x k mesh with its buffers and packets."""

    k: int
    vcs: int
    buffer: int
    packet_flits: int


@attrs.frozen(kw_only=True)
class OracleRow:
    """One run of the other simulator; `latency` in cycles, None where the record has none, `hops` likewise."""

    config: Config
    rate: float
    latency: float | None
    hops: float | None
    unstable: bool


def read_oracle(path: Path) -> list[OracleRow]:
    """Rows of a table, comment lines skipped; raises ConfigError for one that lacks a column."""
    return [_read_row(row) for row in read_table(path, _COLUMNS)]


def _read_row(row: dict[str, str]) -> OracleRow:
    k, vcs, buffer, flits = (int(row[name]) for name in _COLUMNS[:4])
    return OracleRow(
        config=Config(k=k, vcs=vcs, buffer=buffer, packet_flits=flits),
        rate=float(row["injection_rate_flits"]),
        latency=_number(row["packet_latency"]),
        hops=_number(row.get("hops", "nan")),
        unstable=row["unstable"] == "1",
    )


def _number(text: str) -> float | None:
    value = float(text)
    return None if math.isnan(value) else value


def rows(full: bool) -> Iterator[Row]:
    """The rows of both tables, or of `QUICK` only, with the saturation rates that they allow."""
    found = [row for path in (MESH4, MESH8) for row in read_oracle(path)]
    yield from compare(found if full else [row for row in found if key(row) in QUICK])


def key(row: OracleRow) -> tuple[int, int, int, float]:
    """(k, VCs, flits, rate)."""
    return row.config.k, row.config.vcs, row.config.packet_flits, row.rate


def compare(found: Sequence[OracleRow], seed: int = 1) -> Iterator[Row]:
    """Measure every row, each with a generator of its own from `seed`; then each config's saturation rate."""
    for config, group in groupby(sorted(found, key=_order), key=lambda row: row.config):
        yield from _compare_config(config, list(group), seed)


def _order(row: OracleRow) -> tuple[int, int, int, int, float]:
    config = row.config
    return config.k, -config.vcs, -config.buffer, config.packet_flits, row.rate


def _compare_config(config: Config, found: list[OracleRow], seed: int) -> Iterator[Row]:
    theirs = _saturation([(row.rate, row.unstable) for row in found])
    verdicts: list[tuple[float, bool]] = []
    for row in found:
        latency, saturated = _measure(row, seed)
        verdicts.append((row.rate, saturated))
        tolerance = _tolerance(row, theirs)
        yield _row(config, f"latency at {row.rate:g}", row.latency, latency, tolerance)
    if theirs is not None:
        yield _row(config, "saturation rate", theirs, _saturation(verdicts), SATURATION_TOLERANCE)


def _row(config: Config, what: str, theirs: float | None, ours: float | None, tolerance: float | None) -> Row:
    flits = f"{config.packet_flits} flit{'s'[: config.packet_flits - 1]}"
    where = f"mesh {config.k}x{config.k}, {config.vcs} VC of {config.buffer}, {flits}"
    return Row(unit="noc", what=f"{where}, {what}", theirs=theirs, ours=ours, tolerance=tolerance)


def _measure(row: OracleRow, seed: int) -> tuple[float | None, bool]:
    """(packet latency, or None where saturated; whether saturated)."""
    config = row.config
    result = measure(
        build_wiring(NocParams(topology="mesh", rows=config.k, cols=config.k)),
        PacketParams(vcs=config.vcs, buffer=config.buffer, packet_flits=config.packet_flits),
        rate=row.rate,
        traffic="uniform",
        rng=random.Random(seed),
    )
    if result.saturated:
        return None, True
    latency = result.packet_latency
    if row.rate <= ZERO_LOAD_RATE and row.hops is not None:
        latency += CYCLES_PER_ROUTER * (row.hops - result.hops)
    return latency, False


def _tolerance(row: OracleRow, saturation: float | None) -> float | None:
    if row.rate <= ZERO_LOAD_RATE:
        return ZERO_LOAD_TOLERANCE
    loaded = saturation is None or row.rate <= LOADED_PART * saturation
    return LATENCY_TOLERANCE if loaded and row.latency is not None else None


def _saturation(verdicts: list[tuple[float, bool]]) -> float | None:
    """Middle between the last stable and the first unstable rate; None where no rate is unstable."""
    unstable = [rate for rate, saturated in verdicts if saturated]
    if not unstable:
        return None
    stable = [rate for rate, saturated in verdicts if not saturated and rate < unstable[0]]
    return (max(stable, default=0.0) + unstable[0]) / 2
