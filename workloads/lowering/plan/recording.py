"""Recorded choices of experts: a file of JSON lines, one for every forward and layer.

    {"forward": 0, "layer": 1, "experts": [[3, 17], [17, 5]]}

`forward` counts from 0 over the whole schedule, `layer` over all layers, `experts` has the top k of every row, the
rows of the first sequence first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.experts import Experts

Choices = Sequence[Sequence[int]]


@attrs.frozen(kw_only=True)
class Recording:
    """Choices by forward and layer."""

    name: str
    found: dict[tuple[int, int], Choices]

    def choices(self, forward: int, layer: int, rows: int) -> Choices:
        """Experts of every row of a pass; raises WorkloadError if there are none, or of another number of rows."""
        where = f"{self.name}: forward {forward}, layer {layer}"
        choices = self.found.get((forward, layer))
        if choices is None:
            raise WorkloadError(f"{where}: missing; expected the experts of {rows} rows")
        if len(choices) != rows:
            raise WorkloadError(f"{where}: experts of {len(choices)} rows; expected {rows}")
        return choices


def read_recording(path: str, experts: Experts) -> Recording:
    """The recording in a file; raises WorkloadError naming the line that cannot be used."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: {error}; expected JSON lines of routed experts") from None
    found: dict[tuple[int, int], Choices] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            key, choices = _line(f"{path}: line {number}", line, experts)
            if key in found:
                raise WorkloadError(f"{path}: line {number}: forward {key[0]}, layer {key[1]} again; expected it once")
            found[key] = choices
    return Recording(name=path, found=found)


def _line(where: str, line: str, experts: Experts) -> tuple[tuple[int, int], Choices]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise WorkloadError(f"{where}: not JSON ({error}); expected forward, layer and experts") from None
    if not isinstance(data, dict) or not {"forward", "layer", "experts"} <= data.keys():
        raise WorkloadError(f"{where}: {line.strip()[:60]}; expected an object with forward, layer and experts")
    for key in ("forward", "layer"):
        if type(data[key]) is not int or data[key] < 0:
            raise WorkloadError(f"{where}: {key} is {data[key]!r}; expected a non-negative integer")
    rows = data["experts"]
    if not isinstance(rows, list) or not rows or not all(_valid(row, experts) for row in rows):
        wanted = f"for every row {experts.top_k} different numbers below {experts.count}"
        raise WorkloadError(f"{where}: experts are not lists of experts; expected {wanted}")
    return (data["forward"], data["layer"]), rows


def _valid(row: Any, experts: Experts) -> bool:
    if not isinstance(row, list) or len(row) != experts.top_k:
        return False
    return all(type(one) is int and 0 <= one < experts.count for one in row) and len(set(row)) == len(row)
