"""Where tensors lie in HBM: codes at a base, scales at the same base plus one global offset."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.errors import WorkloadError
from archsim.isa.formats import Format
from workloads.lowering.plan.dims import round_up


@attrs.frozen(kw_only=True)
class Tensor:
    """A tensor of `elements`, stored once or several times (once a layer, say), each at its byte base."""

    name: str
    bases: tuple[int, ...]
    elements: int
    format: Format

    @property
    def base(self) -> int:
        """Byte base of the first copy."""
        return self.bases[0]

    @property
    def following(self) -> int:
        """Byte base of one more copy, as far behind the last as that is behind the one before."""
        return 2 * self.bases[-1] - self.bases[-2] if len(self.bases) > 1 else 0

    def at(self, index: int) -> int:
        """Byte base of copy `index`."""
        return self.bases[index]


class HbmMap:
    """First-fit allocation, so that codes and scales of all tensors share one scale offset.

    The scales of element e of a tensor lie at base + `scale_offset` + e / 32. Every base and stride is a
    multiple of `align`, which covers channels x banks x rows, codes and scales alike.
    """

    def __init__(self, capacity: int, align: int, scaled_code_bytes: int, where: str) -> None:
        self.capacity, self.align, self.where = capacity, align, where
        # Beyond all codes if there is room; else first-fit finds the holes between scales.
        reach = round_up(max(scaled_code_bytes, 1), align)
        self.scale_offset = reach if 2 * reach <= capacity else min(reach, (1 << 32) - align)
        self.tensors: list[Tensor] = []
        self._busy: list[tuple[int, int]] = []

    def add(self, name: str, fmt: Format, elements: int, count: int = 1, *, at: int = 0) -> Tensor:
        """Place a tensor, its first copy at byte `at` if there is room, else at the first byte where there is.

        Raises WorkloadError if it does not fit or its offsets exceed 32 bits.
        """
        if elements >= 1 << 32:
            raise WorkloadError(f"{self.where}: {name} has {elements} elements; expected offsets below 2^32")
        codes, scales = fmt.code_bytes(elements), fmt.scale_bytes(elements)
        stride = round_up(codes, self.align)
        if scales and stride > self.scale_offset:
            raise WorkloadError(f"{self.where}: {name} takes {codes} B of codes; expected at most {self.scale_offset}")
        # A stack that reaches beyond the scale offset would lie on its own scales, unless there are gaps for them.
        pitch = stride if count * stride <= self.scale_offset or not scales else self._pitch(stride, scales)
        stacked = pitch > 0
        bases: list[int] = []
        for first in (0,) if stacked else range(count):
            copies = range(count) if stacked else range(1)
            spans = [(copy * pitch, codes) for copy in copies]
            spans += [(copy * pitch + self.scale_offset, scales) for copy in copies if scales]
            free = at and not first and self._conflict(at, spans) is None
            base = at if free else self._fit(spans, name if stacked else f"{name}, copy {first},")
            self._busy = sorted(self._busy + [(base + start, base + start + size) for start, size in spans])
            bases += [base + copy * pitch for copy in copies]
        tensor = Tensor(name=name, bases=tuple(bases), elements=elements, format=fmt)
        self.tensors.append(tensor)
        return tensor

    def _pitch(self, stride: int, scales: int) -> int:
        """Distance of copies at which the scales of each fall behind the codes of a later one; 0 if there is none."""
        room = round_up(scales, self.align)
        for pitch in range(stride + room, 2 * stride, self.align):
            if stride <= self.scale_offset % pitch <= pitch - room:
                return pitch
        return 0

    def _fit(self, spans: list[tuple[int, int]], name: str) -> int:
        base = 0
        while True:
            pushed = self._conflict(base, spans)
            if pushed is None:
                return base
            base = round_up(pushed, self.align)
            if base + max(start + size for start, size in spans) > self.capacity:
                need = max(start + size for start, size in spans)
                raise WorkloadError(
                    f"{self.where}: {name} finds no room of {need} B in {self.capacity} B of HBM; expected a larger HBM"
                )

    def _conflict(self, base: int, spans: list[tuple[int, int]]) -> int | None:
        """The next base worth trying, or None if this one is free."""
        if base + max(start + size for start, size in spans) > self.capacity:
            return self.capacity
        for begin, end in self._busy:
            for start, size in spans:
                low = base + start
                if low < end and begin < low + size:
                    return base + end - low
        return None

    def regions(self) -> tuple[dict[str, Any], ...]:
        """The map for a program's header: codes and scales of every tensor."""
        rows: list[dict[str, Any]] = []
        for tensor in self.tensors:
            fmt, lowest = tensor.format, min(tensor.bases)
            span = max(tensor.bases) - lowest
            rows.append({"name": tensor.name, "base": lowest, "bytes": span + fmt.code_bytes(tensor.elements)})
            if fmt.block:
                size = span + fmt.scale_bytes(tensor.elements)
                rows.append({"name": f"{tensor.name}.scales", "base": lowest + self.scale_offset, "bytes": size})
        return tuple(rows)
